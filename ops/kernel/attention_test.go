package kernel

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/chewxy/math32"

	"github.com/sparsegonia/sparsegonia/ops/simd"
	"github.com/sparsegonia/sparsegonia/ops/weights"
)

// naiveAttention is the attention of one query to all keys of a head.
func naiveAttention(q []float32, keys, values [][]float32, scale float64) []float64 {
	weights := make([]float64, len(keys))
	largest := math.Inf(-1)
	for j, k := range keys {
		for i := range q {
			weights[j] += float64(q[i]) * float64(k[i]) * scale
		}
		largest = max(largest, weights[j])
	}
	sum := 0.0
	for j := range weights {
		weights[j] = math.Exp(weights[j] - largest)
		sum += weights[j]
	}
	y := make([]float64, len(q))
	for j, v := range values {
		for i := range y {
			y[i] += weights[j] / sum * float64(v[i])
		}
	}
	return y
}

// Sequences of different lengths, in steps of one and of many tokens, past every size that the
// cache takes: what was stored stays where it is found.
func TestAttentionWhileTheCacheGrows(t *testing.T) {
	for _, variant := range simd.Variants() {
		p := NewCPU(2, WithVariant(variant))
		defer p.Close()
		for _, dtype := range []weights.Dtype{weights.F32, weights.F16} {
			for _, d := range []int{8, 32, 70} {
				testGrowingAttention(t, p, dtype, d)
			}
		}
	}
}

func testGrowingAttention(t *testing.T, p *CPU, dtype weights.Dtype, d int) {
	const sequences, kvHeads, share, capacity = 2, 2, 2, 600
	const heads = kvHeads * share
	kv, err := NewKV(dtype, sequences, capacity, kvHeads, d)
	if err != nil {
		t.Fatal(err)
	}
	if kv.Bytes() != 0 {
		t.Errorf("an empty cache takes %d bytes", kv.Bytes())
	}
	tolerance := map[weights.Dtype]float64{weights.F32: 1e-5, weights.F16: 5e-3}[dtype]
	r := rand.New(rand.NewPCG(1, 2))
	random := func(n int) []float32 {
		v := make([]float32, n)
		for i := range v {
			v[i] = float32(r.NormFloat64())
		}
		return v
	}
	var keys, values [sequences][kvHeads][][]float32
	for step := range 30 {
		sequence := r.IntN(sequences)
		past := len(keys[sequence][0])
		tokens := min([]int{1, 7, 60}[step%3], capacity-past)
		if step == 26 {
			tokens = capacity - past
		}
		if tokens == 0 {
			continue
		}
		q, k, v := random(tokens*heads*d), random(tokens*kvHeads*d), random(tokens*kvHeads*d)
		positions := make([]int32, tokens)
		for i := range positions {
			positions[i] = int32(past + i)
			for h := range kvHeads {
				at := (i*kvHeads + h) * d
				keys[sequence][h] = append(keys[sequence][h], k[at:at+d])
				values[sequence][h] = append(values[sequence][h], v[at:at+d])
			}
		}
		y := make([]float32, len(q))
		Attention(p, y, q, k, v, heads, positions, slices.Repeat([]int32{int32(sequence)}, tokens), kv, 0.3)
		for i, position := range positions {
			for h := range heads {
				n := position + 1
				want := naiveAttention(q[(i*heads+h)*d:][:d], keys[sequence][h/share][:n], values[sequence][h/share][:n], 0.3)
				for j, w := range want {
					if got := float64(y[(i*heads+h)*d+j]); !(math.Abs(got-w) <= tolerance) {
						t.Fatalf("%v: step %d, sequence %d, position %d, head %d: %v, want %v", dtype, step, sequence, position, h, got, w)
					}
				}
			}
		}
	}
	if want := 2 * sequences * kvHeads * capacity * dtype.RowBytes(d); kv.Bytes() != want {
		t.Errorf("a full cache takes %d bytes, want %d", kv.Bytes(), want)
	}
}

// Padding among the rows of a prompt: rows of position −1 are zero, and the others are what they
// are without it.
func TestAttentionOfPaddedPrompts(t *testing.T) {
	everywhere(t, func(t *testing.T, p *CPU) {
		r := rand.New(rand.NewPCG(61, 62))
		const heads, kvHeads, d, tokens = 6, 2, 40, 150
		attend := func(positions []int32, q, k, v []float32) []float32 {
			kv, err := NewKV(weights.F32, 3, tokens, kvHeads, d)
			if err != nil {
				t.Fatal(err)
			}
			y := slices.Repeat([]float32{7}, len(q))
			poison(p)
			Attention(p, y, q, k, v, heads, positions, slices.Repeat([]int32{2}, len(positions)), kv, 0.3)
			return y
		}
		var positions, without []int32
		var q, k, v, q0, k0, v0 []float32
		for pos := int32(0); pos < tokens; {
			qt, kt, vt := randoms(r, heads*d), randoms(r, kvHeads*d), randoms(r, kvHeads*d)
			q, k, v = append(q, qt...), append(k, kt...), append(v, vt...)
			if len(positions) < 20 || len(positions)%3 == 0 {
				positions = append(positions, -1)
				continue
			}
			positions, without = append(positions, pos), append(without, pos)
			q0, k0, v0 = append(q0, qt...), append(k0, kt...), append(v0, vt...)
			pos++
		}
		got, want := attend(positions, q, k, v), attend(without, q0, k0, v0)
		for i, pos := range positions {
			row := got[i*heads*d:][:heads*d]
			if pos < 0 {
				if slices.ContainsFunc(row, func(x float32) bool { return x != 0 }) {
					t.Fatalf("row %d is padding and not zero", i)
				}
				continue
			}
			for j, w := range want[int(pos)*heads*d:][:heads*d] {
				if !(math32.Abs(row[j]-w) <= 1e-5) {
					t.Fatalf("position %d, element %d is %v, want %v", pos, j, row[j], w)
				}
			}
		}
	})
}

// A context that is never used costs nothing.
func TestLongContextsTakeNoMemory(t *testing.T) {
	kv, err := NewKV(weights.F32, 1, 1<<30, 2, 4)
	if err != nil {
		t.Fatal(err)
	}
	y := make([]float32, 16)
	Attention(nil, y[:8], y[8:], make([]float32, 8), make([]float32, 8), 2, []int32{300}, []int32{0}, kv, 1)
	if kv.Bytes() > 1<<20 {
		t.Errorf("301 positions take %d bytes", kv.Bytes())
	}
}
