package kernel

import (
	"fmt"

	"github.com/sparsegonia/sparsegonia/ops/parallel"
	"github.com/sparsegonia/sparsegonia/ops/simd"
	"github.com/sparsegonia/sparsegonia/ops/weights"
)

// KV is the keys and values of one layer, F32 or F16: a row of headDim numbers for each sequence,
// key-value head and position. It takes memory as sequences grow.
type KV struct {
	keys, values                        *weights.Matrix // of room positions for every head of every sequence
	sequences, capacity, heads, headDim int
	room                                int
}

// NewKV returns an empty cache of up to capacity positions for each sequence. d is F32 or F16.
func NewKV(d weights.Dtype, sequences, capacity, kvHeads, headDim int) (*KV, error) {
	if !simd.Attends(d) {
		return nil, fmt.Errorf("kernel: KV cache of %v, want f32 or f16", d)
	}
	if sequences <= 0 || capacity <= 0 || kvHeads <= 0 || headDim <= 0 || headDim > weights.MaxCols {
		return nil, fmt.Errorf("kernel: KV cache of %d sequences × %d positions × %d heads × %d", sequences, capacity, kvHeads, headDim)
	}
	const limit = 1 << 44 // bytes that no machine has
	size := d.RowBytes(1)
	for _, n := range []int{sequences, capacity, kvHeads, headDim} {
		if n > limit/size {
			return nil, fmt.Errorf("kernel: KV cache of %d sequences × %d positions × %d heads × %d is too large", sequences, capacity, kvHeads, headDim)
		}
		size *= n
	}
	kv := &KV{sequences: sequences, capacity: capacity, heads: kvHeads, headDim: headDim}
	kv.keys, kv.values = kv.newMatrix(d, 0), kv.newMatrix(d, 0)
	return kv, nil
}

func (kv *KV) newMatrix(d weights.Dtype, room int) *weights.Matrix {
	return weights.NewContiguous(d, kv.sequences*kv.heads*room, kv.headDim)
}

// grow makes room for a number of positions of every sequence. It doubles the room, so that each
// row is moved a few times at most.
func (kv *KV) grow(positions int) {
	if positions <= kv.room {
		return
	}
	const least = 256
	room := min(max(positions, 2*kv.room, least), kv.capacity)
	for _, m := range []**weights.Matrix{&kv.keys, &kv.values} {
		old := *m
		*m = kv.newMatrix(old.Dtype(), room)
		for head := range kv.sequences * kv.heads {
			from, to := head*kv.room*old.Stride(), head*room*old.Stride()
			copy((*m).Memory()[to:], old.Memory()[from:from+kv.room*old.Stride()])
		}
	}
	kv.room = room
}

// Dtype returns the storage type.
func (kv *KV) Dtype() weights.Dtype { return kv.keys.Dtype() }

// Sequences returns how many sequences there is room for.
func (kv *KV) Sequences() int { return kv.sequences }

// Capacity returns how many positions of a sequence there is room for.
func (kv *KV) Capacity() int { return kv.capacity }

// Heads returns the number of key-value heads.
func (kv *KV) Heads() int { return kv.heads }

// HeadDim returns the numbers in a head.
func (kv *KV) HeadDim() int { return kv.headDim }

// Bytes returns the size of the memory that is taken.
func (kv *KV) Bytes() int { return kv.keys.Bytes() + kv.values.Bytes() }

// row returns the row of position 0 of a head; the next positions follow.
func (kv *KV) row(sequence, head int) int { return (sequence*kv.heads + head) * kv.room }

// Attention computes causal attention over a KV cache:
//
//	y(t,h) = Σₚ softmaxₚ(scale·q(t,h)·K(p,h/g))·V(p,h/g)    p ≤ positions[t], g = heads/kvHeads
//
//	q, y  T×(heads·d)
//	k, v  T×(kvHeads·d)
//
// Row t belongs to positions[t] of sequences[t]. All rows of k and v are stored before any row
// attends. A row of position −1 is padding: nothing is stored and its y is zero. Where many rows
// are of one sequence, a NaN in v at position p may also reach rows before p, which multiply it by
// 0.
func Attention(cpu *CPU, y, q, k, v []float32, heads int, positions, sequences []int32, kv *KV, scale float32) {
	tokens := len(positions)
	if heads <= 0 || heads%kv.heads != 0 || len(sequences) != tokens || len(q) != tokens*heads*kv.headDim ||
		len(y) != len(q) || len(k) != tokens*kv.heads*kv.headDim || len(v) != len(k) {
		panic(panicShape)
	}
	last := int32(-1)
	for t, pos := range positions {
		if pos < -1 || int(pos) >= kv.capacity || uint(sequences[t]) >= uint(kv.sequences) && pos >= 0 {
			panic(panicBounds)
		}
		last = max(last, pos)
	}
	if tokens == 0 {
		return
	}
	cpu = orDefault(cpu)
	cpu.mu.Lock()
	defer cpu.mu.Unlock()
	kv.grow(int(last) + 1)
	kv.store(k, v, positions, sequences)
	t := attentionTasks.of(cpu)
	*t = attentionTask{
		cpu: cpu, y: y, q: q, heads: heads, positions: positions, sequences: sequences, kv: kv, scale: scale,
		share: heads / kv.heads,
	}
	if t.manyQueries() {
		queries := tokens * t.share
		cpu.do(kv.heads*((queries+cpu.variant.TileCols-1)/cpu.variant.TileCols), (*attentionTiles)(t))
		*t = attentionTask{}
		return
	}
	if tokens*kv.heads < 4*cpu.pool.Threads() { // a head alone reads the keys again, but from the cache
		t.share = 1
	}
	pieces := tokens * heads / t.share
	if work := pieces * int(max(positions[tokens-1], 0)+1) * t.share * kv.headDim; work < elementsPerPiece {
		for i := range pieces {
			t.row(&cpu.workers[0], i)
		}
	} else {
		cpu.do(pieces, t)
	}
	*t = attentionTask{}
}

func (kv *KV) store(k, v []float32, positions, sequences []int32) {
	d, width := kv.headDim, kv.heads*kv.headDim
	for t, pos := range positions {
		if pos < 0 {
			continue
		}
		for h := range kv.heads {
			i := kv.row(int(sequences[t]), h) + int(pos)
			weights.Encode(kv.keys.Dtype(), kv.keys.Row(i), k[t*width+h*d:][:d])
			weights.Encode(kv.values.Dtype(), kv.values.Row(i), v[t*width+h*d:][:d])
		}
	}
}

// attentionTask is the attention of all rows. A piece is one row and a group of share heads that
// use the same keys. The last rows, which are the longest, come first.
var attentionTasks = newPerCPU[attentionTask]()

type attentionTask struct {
	cpu                  *CPU
	y, q                 []float32
	heads, share         int
	positions, sequences []int32
	kv                   *KV
	scale                float32
}

func (t *attentionTask) Piece(thread *parallel.Worker, i int) { t.row(t.cpu.on(thread), i) }

func (t *attentionTask) row(w *worker, i int) {
	kv, v := t.kv, t.cpu.variant
	d := kv.headDim
	perRow := t.heads / t.share
	row, first := len(t.positions)-1-i/perRow, i%perRow*t.share
	y := t.y[(row*t.heads+first)*d:][:t.share*d]
	n := int(t.positions[row]) + 1
	if n == 0 {
		clear(y)
		return
	}
	q := t.q[(row*t.heads+first)*d:][:t.share*d]
	base := kv.row(int(t.sequences[row]), first/(t.heads/kv.heads))
	scores := w.scratch(t.share * n)
	clear(scores)
	clear(y)
	rows := v.RowsOf(kv.keys)
	// The heads of a share read some rows one after the other, while they are in the L1 cache.
	few := max(24<<10/kv.keys.Stride()&^3, 4)
	for j := 0; j < n; j += few {
		count := min(few, n-j)
		for h := range t.share {
			rows.RowDots(scores[h*n+j:][:count], q[h*d:][:d], kv.keys, base+j)
		}
	}
	for h := range t.share {
		s := scores[h*n:][:n]
		v.Scale(s, t.scale)
		v.Softmax(s, s)
	}
	for j := 0; j < n; j += few {
		count := min(few, n-j)
		for h := range t.share {
			rows.RowSum(y[h*d:][:d], scores[h*n+j:][:count], kv.values, base+j)
		}
	}
}
