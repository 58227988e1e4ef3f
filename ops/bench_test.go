package ops

import (
	"fmt"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/sparsegonia/sparsegonia/cache"
	"github.com/sparsegonia/sparsegonia/ops/activation"
	"github.com/sparsegonia/sparsegonia/ops/optest"
	"github.com/sparsegonia/sparsegonia/ops/weights"
)

// What an op costs beside its kernel.
func BenchmarkOverhead(b *testing.B) {
	optest.Bench(b, optest.Case{
		Build: func(in ...*gorgonia.Node) (*gorgonia.Node, error) {
			return GLU(in[0], in[1], activation.ReLU)
		},
		Inputs: []*tensor.Dense{input(1, weights.F32, 1, 4), input(2, weights.F32, 1, 4)},
	})
}

// One token through an MLP of which a part is active. The bytes are those of the active rows.
func BenchmarkSparseMLP(b *testing.B) {
	const hidden, intermediate = 1024, 4096
	for _, d := range []weights.Dtype{weights.F32, weights.BF16} {
		n := neurons(b, 1, d, intermediate, hidden, true)
		for _, every := range []int{1, 4, 16} {
			active := make([]bool, intermediate)
			for i := 0; i < intermediate; i += every {
				active[i] = true
			}
			b.Run(fmt.Sprintf("%v/1 in %d", d, every), func(b *testing.B) {
				optest.Bench(b, optest.Case{
					Build: func(in ...*gorgonia.Node) (*gorgonia.Node, error) {
						return SparseMLP(in[0], in[1], nil, MLP{Cache: cache.InPlace(n)})
					},
					Inputs: []*tensor.Dense{input(1, d, 0, hidden), slotsOf(active)},
				})
				b.SetBytes(n.Bytes() / int64(every))
			})
		}
	}
}
