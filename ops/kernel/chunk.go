package kernel

import (
	"github.com/sparsegonia/sparsegonia/ops/parallel"
	"github.com/sparsegonia/sparsegonia/ops/simd"
	"github.com/sparsegonia/sparsegonia/ops/weights"
)

// Sums over many rows of weights are taken in chunks of rows, whose partial sums are added in
// order. Workers need not wait for each other. Chunks depend on the number of rows alone, so that
// the bits do not depend on the number of workers.

// chunkRows returns how many of n rows make a chunk, a multiple of blockNeurons:
//
//   - at least 32: the first rows of a worker are not prefetched, and a chunk costs its partial sums
//   - at most 128, if that leaves 16 chunks to share
//   - so many that there are at most 64 chunks, whose partial sums are read beside the weights
func chunkRows(n int) int {
	const (
		least, long  = 32, 128 // rows
		enough, most = 16, 64  // chunks
	)
	return (max(least, min(n/enough, long), (n+most-1)/most) + 7) &^ 7
}

var chunkSums = newPerCPU[[]float32]()

// partialSums returns room for the partial sums of n rows: chunks × T × padded columns.
func (cpu *CPU) partialSums(n, tokens, cols int) []float32 {
	c := chunkRows(n)
	sums := chunkSums.of(cpu)
	*sums = simd.Resize(*sums, (n+c-1)/c*tokens*simd.PaddedCols(cols))
	return *sums
}

// addPartialSums computes y T×O, the sum of all chunks of n rows of w plus bias. It overwrites the
// first chunk.
func (cpu *CPU) addPartialSums(y []float32, n, tokens int, w *weights.Matrix, bias []float32) {
	c, cols := chunkRows(n), w.Cols()
	t := reduceTasks.of(cpu)
	*t = reduceTask{
		cpu: cpu, y: y, sums: *chunkSums.of(cpu), bias: bias, inOrder: cpu.variant.RowsOf(w).InOrder, tokens: tokens,
		width: cols, chunks: (n + c - 1) / c,
	}
	t.cols = cols
	if t.chunks*tokens*cols > 4*elementsPerPiece {
		t.cols = min(2*simd.SumBlock, cols)
	}
	cpu.do((cols+t.cols-1)/t.cols, t)
	*t = reduceTask{}
}

var reduceTasks = newPerCPU[reduceTask]()

// reduceTask adds partial sums. A piece is a range of columns.
type reduceTask struct {
	cpu                   *CPU
	y, sums, bias         []float32
	inOrder               func(y, sums, scratch []float32)
	tokens, width, chunks int
	cols                  int // in a piece, a multiple of simd.SumBlock or all
}

func (t *reduceTask) Piece(thread *parallel.Worker, i int) {
	w := t.cpu.on(thread)
	v, padded := t.cpu.variant, simd.PaddedCols(t.width)
	c := i * t.cols
	n := min(t.cols, t.width-c)
	for token := range t.tokens {
		y := t.y[token*t.width+c:][:n]
		if t.chunks == 0 {
			clear(y)
		} else {
			chunk := func(i int) []float32 { return t.sums[(i*t.tokens+token)*padded+c:][:simd.PaddedCols(n)] }
			sum := chunk(0)
			for i := 1; i < t.chunks; i++ {
				v.Add(sum, sum, chunk(i))
			}
			t.inOrder(y, sum, w.scratch(simd.SumBlock))
		}
		if t.bias != nil {
			v.Add(y, y, t.bias[c:][:n])
		}
	}
}
