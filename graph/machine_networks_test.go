package graph

import (
	"math"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// networks are what Gorgonia's examples run forwards, in small.
var networks = map[string]recipe{
	"linear regression": func(n *network) {
		x, y, slope, offset := n.in(50), n.in(50), n.in(), n.in()
		predicted := must(gorgonia.Add(must(gorgonia.Mul(x, slope)), offset))
		n.out(predicted, must(gorgonia.Mean(must(gorgonia.Square(must(gorgonia.Sub(predicted, y)))))))
	},
	"iris": func(n *network) {
		x, y, theta := n.in(30, 5), n.in(30), n.in(5)
		predicted := must(gorgonia.Mul(x, theta))
		n.out(predicted, must(gorgonia.Mean(must(gorgonia.Square(must(gorgonia.Sub(predicted, y)))))))
	},
	"logistic regression": func(n *network) {
		n.limit = func(i int, x float64) float64 {
			if i == 1 { // the classes
				return math.Max(0, math.Copysign(1, x))
			}
			return x / 4
		}
		x, y, w, b := n.in(20, 6), n.in(20), n.in(6), n.in()
		one := n.constant(1)
		p := must(gorgonia.Sigmoid(must(gorgonia.Add(must(gorgonia.Mul(x, w)), b))))
		class := must(gorgonia.Gt(p, n.constant(0.5), n.tape))
		first := must(gorgonia.HadamardProd(must(gorgonia.Neg(y)), must(gorgonia.Log(p))))
		second := must(gorgonia.HadamardProd(must(gorgonia.Sub(one, y)), must(gorgonia.Log(must(gorgonia.Sub(one, p))))))
		loss := must(gorgonia.Mean(must(gorgonia.Sub(first, second))))
		penalty := must(gorgonia.Mul(n.constant(0.01), must(gorgonia.Sum(must(gorgonia.Square(w))))))
		n.out(class, must(gorgonia.Add(loss, penalty)))
	},
	"mnist": func(n *network) {
		x := n.in(4, 20)
		for _, width := range []int{30, 25, 10} {
			x = must(gorgonia.Mul(x, n.in(x.Shape()[1], width)))
			if width > 10 {
				x = must(gorgonia.Dropout(must(gorgonia.Rectify(x)), 0.2))
			}
		}
		n.out(must(gorgonia.SoftMax(x)))
	},
	"convnet": func(n *network) {
		x := block(n, block(n, n.in(2, 1, 12, 12), 4), 6)
		x = must(gorgonia.Dropout(must(gorgonia.Reshape(x, tensor.Shape{2, 6 * 3 * 3})), 0.2))
		x = must(gorgonia.Dropout(must(gorgonia.Rectify(must(gorgonia.Mul(x, n.in(54, 20))))), 0.55))
		n.out(must(gorgonia.SoftMax(must(gorgonia.Mul(x, n.in(20, 10))))))
	},
	"resnet": func(n *network) {
		x := block(n, n.in(2, 1, 12, 12), 4)
		c := must(gorgonia.Rectify(convolve(x, n.in(6, 4, 3, 3))))
		skip := must(gorgonia.Mul(must(gorgonia.Reshape(x, tensor.Shape{2, 4 * 6 * 6})), n.in(4*6*6, 6*6*6)))
		x = must(gorgonia.Rectify(must(gorgonia.Add(c, must(gorgonia.Reshape(skip, tensor.Shape{2, 6, 6, 6}))))))
		x = must(gorgonia.GlobalAveragePool2D(x))
		n.out(must(gorgonia.SoftMax(must(gorgonia.Mul(must(gorgonia.Reshape(x, tensor.Shape{2, 6})), n.in(6, 10))))))
	},
	"yolo": func(n *network) {
		x := n.in(1, 3, 8, 8)
		for range 2 {
			x = convolve(x, n.in(5, x.Shape()[1], 3, 3))
			x = must(gorgonia.LeakyRelu(must(gorgonia.Add(x, n.in(x.Shape()...))), 0.1))
			x = must(gorgonia.MaxPool2D(x, tensor.Shape{2, 2}, []int{0, 0}, []int{2, 2}))
		}
		n.out(must(gorgonia.Concat(1, must(gorgonia.Upsample2D(x, 2)), n.in(1, 3, 4, 4))))
	},
	"recurrent": func(n *network) { // characters through two layers of LSTM
		const vocabulary, embedding, hidden, steps = 9, 5, 7, 3
		n.limit = func(_ int, x float64) float64 { return x / 3 }
		table := n.in(vocabulary, embedding)
		layers := []lstm{newLSTM(n, embedding, hidden), newLSTM(n, hidden, hidden)}
		decoder, bias := n.in(vocabulary, hidden), n.in(vocabulary)
		var cost *gorgonia.Node
		for step := range steps {
			x := must(gorgonia.Slice(table, gorgonia.S(2*step)))
			for i := range layers {
				x = layers[i].step(x)
			}
			p := must(gorgonia.SoftMax(must(gorgonia.Add(must(gorgonia.Mul(decoder, x)), bias))))
			loss := must(gorgonia.Slice(must(gorgonia.Neg(must(gorgonia.Log(p)))), gorgonia.S(step+1)))
			if cost == nil {
				cost = loss
			} else {
				cost = must(gorgonia.Add(cost, loss))
			}
			n.out(p)
		}
		n.out(cost)
	},
	"autoencoder": func(n *network) { // with the weight of the encoder in the decoder
		n.limit = func(_ int, x float64) float64 { return x / 4 }
		x, w := n.in(4, 12), n.in(12, 5)
		code := must(gorgonia.Sigmoid(must(gorgonia.Add(must(gorgonia.Mul(x, w)), n.in(4, 5)))))
		out := must(gorgonia.Sigmoid(must(gorgonia.Add(must(gorgonia.Mul(code, must(gorgonia.Transpose(w)))), n.in(4, 12)))))
		n.out(code, out, must(gorgonia.Mean(must(gorgonia.BinaryXent(out, must(gorgonia.Sigmoid(x)))))))
	},
	"word embedding": func(n *network) {
		table, words, context, out := n.in(20, 6), n.inOf(tensor.Int, 4), n.inOf(tensor.Int, 4), n.in(20, 6)
		w := must(gorgonia.ByIndices(table, words, 0))
		c := must(gorgonia.ByIndices(out, context, 0))
		score := must(gorgonia.Sum(must(gorgonia.HadamardProd(w, c)), 1))
		n.out(score, must(gorgonia.Sum(must(gorgonia.Softplus(must(gorgonia.Neg(score)))))))
	},
	"attention": func(n *network) { // batched, of 3-D tensors
		q, k, v := n.in(2, 4, 6), n.in(2, 4, 6), n.in(2, 4, 6)
		scores := must(gorgonia.BatchedMatMul(q, k, false, true))
		scores = must(gorgonia.Mul(scores, n.constant(1/math.Sqrt(6))))
		y := must(gorgonia.BatchedMatMul(must(gorgonia.SoftMax(scores, 2)), v))
		y = must(gorgonia.Reshape(y, tensor.Shape{8, 6}))
		y = must(gorgonia.BroadcastAdd(must(gorgonia.Mul(y, n.in(6, 6))), n.in(6), nil, []byte{0}))
		mean := must(gorgonia.Mean(y, 1))
		centred := must(gorgonia.BroadcastSub(y, must(gorgonia.Reshape(mean, tensor.Shape{8, 1})), nil, []byte{1}))
		n.out(centred)
	},
}

func convolve(x, w *gorgonia.Node) *gorgonia.Node {
	return must(gorgonia.Conv2d(x, w, tensor.Shape{3, 3}, []int{1, 1}, []int{1, 1}, []int{1, 1}))
}

// block is a convolution, a rectifier, a pool and a dropout, as one layer of the example convnet.
func block(n *network, x *gorgonia.Node, filters int) *gorgonia.Node {
	x = must(gorgonia.Rectify(convolve(x, n.in(filters, x.Shape()[1], 3, 3))))
	return must(gorgonia.Dropout(must(gorgonia.MaxPool2D(x, tensor.Shape{2, 2}, []int{0, 0}, []int{2, 2})), 0.2))
}

// lstm is one layer with its state.
type lstm struct {
	gates        [4][3]*gorgonia.Node // of x, of the hidden state, bias: in, forget, out, write
	hidden, cell *gorgonia.Node
}

func newLSTM(n *network, inputs, hidden int) (l lstm) {
	for i := range l.gates {
		l.gates[i] = [3]*gorgonia.Node{n.in(hidden, inputs), n.in(hidden, hidden), n.in(hidden)}
	}
	l.hidden, l.cell = n.in(hidden), n.in(hidden)
	return l
}

func (l *lstm) step(x *gorgonia.Node) *gorgonia.Node {
	gate := func(i int, f unary) *gorgonia.Node {
		g := l.gates[i]
		return must(f(must(gorgonia.Add(must(gorgonia.Add(must(gorgonia.Mul(g[0], x)), must(gorgonia.Mul(g[1], l.hidden)))), g[2]))))
	}
	in, forget, out, write := gate(0, gorgonia.Sigmoid), gate(1, gorgonia.Sigmoid), gate(2, gorgonia.Sigmoid), gate(3, gorgonia.Tanh)
	l.cell = must(gorgonia.Add(must(gorgonia.HadamardProd(forget, l.cell)), must(gorgonia.HadamardProd(in, write))))
	l.hidden = must(gorgonia.HadamardProd(out, must(gorgonia.Tanh(l.cell))))
	return l.hidden
}

func TestNetworks(t *testing.T) {
	for name, b := range networks {
		t.Run(name, func(t *testing.T) {
			for _, dtype := range []tensor.Dtype{tensor.Float32, tensor.Float64} {
				sameAsTape(t, dtype, b)
			}
		})
	}
}

// BenchmarkNetworks compares a run on the two machines.
func BenchmarkNetworks(b *testing.B) {
	for _, name := range []string{"mnist", "convnet", "recurrent"} {
		for _, machine := range []string{"lean", "tape"} {
			b.Run(name+"/"+machine, func(b *testing.B) {
				n := newNetwork(tensor.Float32, machine == "tape", networks[name])
				n.let(1)
				var vm gorgonia.VM = gorgonia.NewTapeMachine(n.g, gorgonia.EvalMode())
				if machine == "lean" {
					var err error
					if vm, err = NewMachine(n.g, n.outputs); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportAllocs()
				for b.Loop() {
					if err := vm.RunAll(); err != nil {
						b.Fatal(err)
					}
					vm.Reset()
				}
			})
		}
	}
}
