package llama

import (
	"cmp"
	"errors"
	"fmt"
	"math"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/sparsegonia/sparsegonia/ops"
	"github.com/sparsegonia/sparsegonia/ops/activation"
	"github.com/sparsegonia/sparsegonia/ops/kernel"
	"github.com/sparsegonia/sparsegonia/ops/weights"
)

// GraphOptions say which graph BuildGraph builds.
type GraphOptions struct {
	Tokens int // T, the rows of the graph: tokens of one or of several sequences
	Rows   int // N, the rows that logits are computed for; 0: none, the output is the residual stream, T×H
	State  *State

	// Stock writes every linear as Gorgonia's Mul with a float32 weight node, and SiLU, ReLU and
	// the tanh form of GELU as Gorgonia's elementwise nodes. Otherwise they are ops of this module,
	// which read weights of any width. It is an error together with Fuse.
	Stock bool

	// Fuse makes each MLP one node, an ops.DenseMLP, which graph.Swap finds too. For fewer than
	// kernel.TileTokens tokens it is faster. The MLPs of a neuron file are one node each in any
	// case.
	Fuse bool

	// Gates gives the MLPs of a neuron file copies of their gates in memory, a byte a weight, for
	// selectors that score neurons by them.
	Gates bool

	CPU *kernel.CPU // copies weights; nil: kernel.DefaultCPU
}

// Graph is the forward pass of a Llama over T rows. Row t is the token Tokens[t] at position
// Positions[t] of sequence Sequences[t]. A row whose position and token are −1 is padding: it
// leaves no trace in the state.
type Graph struct {
	*gorgonia.ExprGraph

	Tokens    *gorgonia.Node // int32 T
	Positions *gorgonia.Node // int32 T
	Sequences *gorgonia.Node // int32 T
	Rows      *gorgonia.Node // int32 N: the rows that have logits; −1: none. Nil if N is 0

	Output *gorgonia.Node // N×vocabulary logits, or T×H if N is 0

	// AttentionInput of a layer is its normalised input, T×H: what look-ahead predictors see.
	AttentionInput []*gorgonia.Node

	// MLP of a layer is the output of its MLP, before the residual is added: T×H, or H in a stock
	// graph of one row without a bias.
	MLP []*gorgonia.Node
}

// BuildGraph builds the forward pass. Its nodes are named as Hugging Face names the modules that
// they stand for, without the "model." in front: layers.0.mlp.gate_proj. The graph shares the
// weights of m and writes to o.State, which only one graph may do at a time.
func (m *Model) BuildGraph(o GraphOptions) (g *Graph, err error) {
	if o.Tokens < 1 || o.Tokens > maxTokens || o.Rows < 0 || o.Rows > maxTokens {
		return nil, fmt.Errorf("llama: a graph of %d tokens and %d rows of logits (at most %d)", o.Tokens, o.Rows, maxTokens)
	}
	if m.closed {
		return nil, fmt.Errorf("llama: the model: %w", ErrClosed)
	}
	if o.State == nil || len(o.State.kv) != len(m.layers) {
		return nil, errors.New("llama: a graph needs a State of its model")
	}
	if o.Stock && m.neurons != nil {
		return nil, errors.New("llama: there is no stock graph of a model whose MLPs lie in a neuron file")
	}
	if o.Stock && o.Fuse {
		return nil, errors.New("llama: a stock graph has no fused MLPs")
	}
	b := &builder{Model: m, o: o}
	b.ExprGraph = gorgonia.NewGraph(gorgonia.WithGraphName("llama"))
	defer func() {
		switch e := recover().(type) {
		case nil:
		case buildError:
			g, err = nil, e.error
		default:
			panic(e)
		}
	}()
	m.arch.forward(b)
	return &b.Graph, nil
}

const maxTokens = 1 << 16

// builder writes the forward pass. Its methods give up with a buildError, which BuildGraph returns:
// the network reads as it would be drawn.
type builder struct {
	*Model
	Graph
	o GraphOptions

	vector *gorgonia.Node // the last linear of a stock graph, if it is a vector that was made a matrix
}

type buildError struct{ error }

// name returns a function that takes the result of an op's constructor and names the node.
func (b *builder) name(name string) func(*gorgonia.Node, error) *gorgonia.Node {
	return func(n *gorgonia.Node, err error) *gorgonia.Node {
		if err != nil {
			panic(buildError{fmt.Errorf("llama: %s: %w", name, err)})
		}
		gorgonia.WithName(name)(n)
		return n
	}
}

// embed makes the inputs and the residual stream.
func (b *builder) embed() *gorgonia.Node {
	b.Tokens = b.input("tokens", b.o.Tokens)
	b.Positions = b.input("positions", b.o.Tokens)
	b.Sequences = b.input("sequences", b.o.Tokens)
	return b.name("embed_tokens")(ops.Embedding(b.Tokens, b.embedding.Matrix))
}

// logits makes the output of x: that of the rows asked for, or x itself if none are.
func (b *builder) logits(x *gorgonia.Node) {
	b.Output = x
	if b.o.Rows == 0 {
		return
	}
	b.Rows = b.input("rows", b.o.Rows)
	x = b.name("rows")(ops.TakeRows(x, b.Rows))
	x = b.rmsNorm("norm", x, b.norm)
	b.Output = b.linear("lm_head", x, b.head)
}

func (b *builder) rmsNorm(name string, x *gorgonia.Node, w ops.Weight) *gorgonia.Node {
	values, _ := weights.Values[float32](w.Matrix)
	return b.name(name)(ops.RMSNorm(x, values, b.Config.RMSNormEps))
}

// attention returns x + o(attention(q, k, v)), where q, k and v come from the normalised x.
func (b *builder) attention(x *gorgonia.Node, i int) *gorgonia.Node {
	l, c, layer := &b.layers[i], &b.Config, fmt.Sprintf("layers.%d.", i)

	h := b.rmsNorm(layer+"input_layernorm", x, l.attentionNorm)
	b.AttentionInput = append(b.AttentionInput, h)

	q := b.linear(layer+"self_attn.q_proj", h, l.q)
	k := b.linear(layer+"self_attn.k_proj", h, l.k)
	v := b.linear(layer+"self_attn.v_proj", h, l.v)
	q = b.name(layer + "self_attn.q_rope")(ops.RoPE(q, b.Positions, c.Heads, b.o.State.rotary))
	k = b.name(layer + "self_attn.k_rope")(ops.RoPE(k, b.Positions, c.KVHeads, b.o.State.rotary))

	scale := float32(1 / math.Sqrt(float64(c.HeadDim)))
	y := b.name(layer + "self_attn")(ops.Attention(q, k, v, b.Positions, b.Sequences, c.Heads, b.o.State.kv[i], scale))
	y = b.linear(layer+"self_attn.o_proj", y, l.o)
	return b.name(layer + "self_attn.residual")(gorgonia.Add(x, y))
}

// mlp returns x + down(act(gate(h)) ⊙ up(h)) with h the normalised x.
func (b *builder) mlp(x *gorgonia.Node, i int) *gorgonia.Node {
	l, layer := &b.layers[i], fmt.Sprintf("layers.%d.", i)

	h := b.rmsNorm(layer+"post_attention_layernorm", x, l.mlpNorm)
	y := b.denseMLP(layer+"mlp.", h, i)
	b.MLP = append(b.MLP, cmp.Or(b.vector, y))
	return b.name(layer + "mlp.residual")(gorgonia.Add(x, y))
}

func (b *builder) denseMLP(name string, h *gorgonia.Node, i int) *gorgonia.Node {
	l := &b.layers[i]
	if b.neurons != nil || b.o.Fuse {
		m, err := b.fused(i, b.o.Gates, b.o.CPU.Pool())
		if err != nil {
			panic(buildError{err})
		}
		return b.name(name + "down_proj")(ops.DenseMLP(h, m))
	}
	gate := b.linear(name+"gate_proj", h, l.gate)
	up := b.linear(name+"up_proj", h, l.up)
	act := b.activate(name+"act_fn", gate)
	y := b.name(name + "product")(gorgonia.HadamardProd(act, up))
	return b.linear(name+"down_proj", y, l.down)
}

func (b *builder) linear(name string, x *gorgonia.Node, w ops.Weight) *gorgonia.Node {
	if !b.o.Stock {
		return b.name(name)(ops.Linear(x, w))
	}
	weight, bias, err := b.stock.of(w, b.o.CPU)
	if err != nil {
		panic(buildError{fmt.Errorf("llama: %s: %w", name, err)})
	}
	g := b.ExprGraph
	matrix := func() *gorgonia.Node { return gorgonia.NodeFromAny(g, weight, gorgonia.WithName(name+".weight")) }
	b.vector = nil
	if x.Shape()[0] == 1 && bias == nil { // BLAS multiplies by a vector in half the time of a matrix of one row
		x = b.name(name + ".input")(gorgonia.Reshape(x, tensor.Shape{w.Inputs()}))
		b.vector = b.name(name)(gorgonia.Mul(matrix(), x))
		return b.name(name + ".output")(gorgonia.Reshape(b.vector, tensor.Shape{1, w.Outputs()}))
	}
	if err := weight.T(); err != nil {
		panic(buildError{fmt.Errorf("llama: %s: %w", name, err)})
	}
	if bias == nil {
		return b.name(name)(gorgonia.Mul(x, matrix()))
	}
	y := b.name(name + ".product")(gorgonia.Mul(x, matrix()))
	return b.name(name)(gorgonia.BroadcastAdd(y, gorgonia.NodeFromAny(g, bias, gorgonia.WithName(name+".bias")), nil, []byte{0}))
}

func (b *builder) activate(name string, x *gorgonia.Node) *gorgonia.Node {
	if !b.o.Stock {
		return b.name(name)(ops.Activate(x, b.Config.Activation))
	}
	switch b.Config.Activation {
	case activation.SiLU:
		return b.name(name)(gorgonia.HadamardProd(x, b.name(name+".sigmoid")(gorgonia.Sigmoid(x))))
	case activation.ReLU:
		return b.name(name)(gorgonia.Rectify(x))
	default: // Gorgonia has no erf, and its tanh form would be eight passes over x.
		return b.name(name)(ops.Activate(x, b.Config.Activation))
	}
}

// input returns an int32 vector that is bound to a tensor from the start: a session writes into it.
func (b *builder) input(name string, n int) *gorgonia.Node {
	t := tensor.New(tensor.WithShape(n), tensor.WithBacking(make([]int32, n)))
	return gorgonia.NewVector(b.ExprGraph, tensor.Int32, gorgonia.WithName(name), gorgonia.WithShape(n), gorgonia.WithValue(t))
}
