package llama

import (
	"errors"
	"fmt"
	"io"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/sparsegonia/sparsegonia/graph"
	"github.com/sparsegonia/sparsegonia/ops/kernel"
)

// Machine names what runs the graphs of a session.
type Machine uint8

const (
	Lean Machine = iota // graph.NewMachine: planned buffers, no allocation per run
	Tape                // gorgonia.NewTapeMachine
)

// programKey tells the graphs of a session apart.
type programKey struct {
	tokens, rows int
	decode       bool // generates: sparse if the session has a plan
}

// program is a graph that is ready to run: its inputs, its machine and its output.
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
	expr := g.Graph
	if key.decode {
		if p.sparse, err = s.swap(g); err != nil {
			return nil, err
		}
		expr, p.output = p.sparse.Graph, p.sparse.Outputs[0]
	}
	switch s.o.Machine {
	case Lean:
		p.vm, err = graph.NewMachine(expr, gorgonia.Nodes{p.output}, graph.WithCPU(s.o.CPU))
	case Tape:
		p.vm = gorgonia.NewTapeMachine(expr)
	default:
		err = fmt.Errorf("llama: unknown machine %d", s.o.Machine)
	}
	return p, err
}

// scoresGates reports whether the plan scores neurons by their gates.
func (s *Session) scoresGates() bool {
	return s.o.Plan.NeedsGate()
}

// inputOf is the memory behind an input node.
func inputOf(n *gorgonia.Node) []int32 { return n.Value().(*tensor.Dense).Int32s() }

// close stops the machine and what reads ahead.
func (p *program) close() error {
	errs := []error{p.vm.Close()}
	if p.sparse != nil {
		for _, m := range p.sparse.MLPs {
			if c, ok := m.Cache.(io.Closer); ok {
				errs = append(errs, c.Close())
			}
		}
	}
	return errors.Join(errs...)
}

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

// row is row i of the output.
func (p *program) row(output []float32, i int) []float32 {
	width := len(output) / max(len(p.rows), 1)
	return output[i*width : (i+1)*width]
}
