package graph

import (
	"fmt"
	"hash"
	"testing"

	"github.com/chewxy/hm"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// custom is an op of a user's own.
type custom struct {
	id        int // of the ops that must not be merged
	arity     int // 0: 1
	do        func(y gorgonia.Value, inputs []gorgonia.Value) (gorgonia.Value, error)
	preallocs bool
}

func (c *custom) Arity() int { return max(c.arity, 1) }

func (c *custom) Type() hm.Type {
	var types []hm.Type
	for range c.Arity() + 1 {
		types = append(types, hm.TypeVariable('a'))
	}
	return hm.NewFnType(types...)
}

func (c *custom) InferShape(in ...gorgonia.DimSizer) (tensor.Shape, error) {
	return in[0].(tensor.Shape).Clone(), nil
}
func (c *custom) ReturnsPtr() bool      { return c.preallocs }
func (c *custom) CallsExtern() bool     { return c.preallocs }
func (c *custom) OverwritesInput() int  { return -1 }
func (c *custom) WriteHash(h hash.Hash) { fmt.Fprintf(h, "custom %p %d", c, c.id) }
func (c *custom) Hashcode() uint32      { return uint32(c.id) }
func (c *custom) String() string        { return fmt.Sprintf("custom%d", c.id) }

func (c *custom) Do(inputs ...gorgonia.Value) (gorgonia.Value, error) {
	y := tensor.New(tensor.Of(inputs[0].Dtype()), tensor.WithShape(inputs[0].Shape()...))
	return c.UsePreallocDo(y, inputs...)
}

func (c *custom) UsePreallocDo(y gorgonia.Value, inputs ...gorgonia.Value) (gorgonia.Value, error) {
	if c.do == nil {
		return y, nil
	}
	return c.do(y, inputs)
}

// chain is n nodes that do nothing, one after the other.
func chain(n int) recipe {
	return func(net *network) {
		x := net.in(1)
		for i := range n {
			x = must(gorgonia.ApplyOp(&custom{id: i, preallocs: true}, x))
		}
		net.out(x)
	}
}

// What a node costs besides its op, on this machine and on the tape machine.
func BenchmarkNode(b *testing.B) {
	const nodes = 400
	for _, machine := range []string{"lean", "tape"} {
		b.Run(machine, func(b *testing.B) {
			n := newNetwork(tensor.Float32, machine == "tape", chain(nodes))
			n.let(1)
			var vm gorgonia.VM = gorgonia.NewTapeMachine(n.g)
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
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/nodes, "ns/node")
		})
	}
}
