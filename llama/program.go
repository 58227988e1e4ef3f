package llama

import (
	"errors"
	"fmt"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/sparsegonia/sparsegonia/graph"
	"github.com/sparsegonia/sparsegonia/ops/kernel"
)

// A Machine makes what runs a graph, computing outputs on cpu. Lean and Tape are Machines.
type Machine func(g *gorgonia.ExprGraph, outputs gorgonia.Nodes, cpu *kernel.CPU) (gorgonia.VM, error)

// Lean is graph.NewMachine: planned buffers, no allocation per run.
func Lean(g *gorgonia.ExprGraph, outputs gorgonia.Nodes, cpu *kernel.CPU) (gorgonia.VM, error) {
	return graph.NewMachine(g, outputs, graph.WithCPU(cpu))
}

// Tape is gorgonia.NewTapeMachine. It runs on the default CPU only; another one is an error.
func Tape(g *gorgonia.ExprGraph, _ gorgonia.Nodes, cpu *kernel.CPU) (gorgonia.VM, error) {
	if cpu != nil && cpu != kernel.DefaultCPU() {
		return nil, errors.New("the tape machine runs on the default CPU only: set it by kernel.SetDefaultCPU")
	}
	return gorgonia.NewTapeMachine(g), nil
}

// A programKey tells the graphs of a session apart.
type programKey struct {
	tokens, rows int
	decode       bool // generates: sparse if the session has a plan
}

// A program is a graph that is ready to run: its inputs, its machine and its output.
type program struct {
	tokens, positions, sequences, rows []int32 // the values of the input nodes

	vm     gorgonia.VM
	output *gorgonia.Node
	dense  *Graph
	sparse *graph.Swapped // dense with sparse MLPs; nil: there are none
}

// program builds a graph when it is first needed.
func (s *Session) program(key programKey) (*program, error) {
	if s.o.Plan == nil {
		key.decode = false // the same graph serves both
	}
	if p, ok := s.programs[key]; ok {
		return p, nil
	}
	p, err := s.newProgram(key)
	if err != nil {
		return nil, err
	}
	s.programs[key] = p
	return p, nil
}

func (s *Session) newProgram(key programKey) (*program, error) {
	g, err := s.model.BuildGraph(GraphOptions{
		Tokens: key.tokens, Rows: key.rows, State: s.state, Stock: s.o.Stock, CPU: s.o.CPU,
		Fuse: key.tokens < kernel.TileTokens && !s.o.Stock, Gates: key.decode && s.scoresGates(),
	})
	if err != nil {
		return nil, err
	}
	p := &program{
		tokens: inputOf(g.Tokens), positions: inputOf(g.Positions), sequences: inputOf(g.Sequences),
		output: g.Output, dense: g,
	}
	if g.Rows != nil {
		p.rows = inputOf(g.Rows)
	}
	expr := g.ExprGraph
	if key.decode {
		if p.sparse, err = s.swap(g); err != nil {
			return nil, err
		}
		expr, p.output = p.sparse.Graph, p.sparse.Outputs[0]
	}
	if p.vm, err = s.o.Machine(expr, gorgonia.Nodes{p.output}, s.o.CPU); err != nil {
		return nil, fmt.Errorf("llama: %w", err)
	}
	return p, nil
}

// scoresGates reports whether the plan scores neurons by their gates.
func (s *Session) scoresGates() bool {
	return s.o.Plan.NeedsGate()
}

// inputOf returns the memory behind an input node.
func inputOf(n *gorgonia.Node) []int32 { return n.Value().(*tensor.Dense).Int32s() }

// setToken makes row t a token; −1, −1 makes it padding.
func (p *program) setToken(t int, id int32, position, sequence int) {
	p.tokens[t], p.positions[t], p.sequences[t] = id, int32(position), int32(sequence)
}

// setRows asks for the logits of the last rows of the first n, as many as the graph has.
func (p *program) setRows(n int) {
	first := n - min(n, len(p.rows))
	for i := range p.rows {
		p.rows[i] = -1
		if first+i < n {
			p.rows[i] = int32(first + i)
		}
	}
}

// run computes the output.
func (p *program) run() ([]float32, error) {
	p.vm.Reset()
	if err := p.vm.RunAll(); err != nil {
		return nil, fmt.Errorf("llama: %w", err)
	}
	return p.output.Value().(*tensor.Dense).Float32s(), nil
}

// row returns row i of the output.
func (p *program) row(output []float32, i int) []float32 {
	width := len(output) / max(len(p.rows), 1)
	return output[i*width : (i+1)*width]
}
