package calibrate

import (
	"math"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"
	"pgregory.net/rapid"
)

func distributionOf(t require.TestingT, values []float32) *distribution {
	d := new(distribution)
	x := tensor.New(tensor.WithShape(1, len(values)), tensor.WithBacking(values))
	require.NoError(t, d.add(Activations{Gate: x}))
	return d
}

// Thresholds and shares against sorting.
func TestThresholdAgainstSorting(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		value := rapid.OneOf(rapid.Just(float32(0)), rapid.Float32Range(-1, 1), rapid.Float32Range(-1e-30, 1e30))
		values := rapid.SliceOfN(value, 1, 300).Draw(t, "values")
		density := rapid.Float64Range(0.001, 1).Draw(t, "density")
		d := distributionOf(t, slices.Clone(values))
		tau := d.threshold(density)
		require.Greater(t, tau, float32(0))
		reach := 0
		nonzero := 0
		for _, v := range values {
			if math.Abs(float64(v)) >= float64(tau) {
				reach++
			}
			if v != 0 {
				nonzero++
			}
		}
		n := float64(len(values))
		require.InDelta(t, float64(reach)/n, d.above(tau), 1e-9)
		require.InDelta(t, float64(nonzero)/n, d.above(math.SmallestNonzeroFloat32), 1e-9)

		// No bucket more or less is closer to what was wanted, except that one is always taken.
		want := math.Round(density * n)
		for _, other := range []int{bucket(tau) - 1, bucket(tau) + 1} {
			if other < 1 || other >= buckets {
				continue
			}
			count := d.above(edge(other)) * n
			if count > 0 {
				require.LessOrEqual(t, math.Abs(float64(reach)-want), math.Abs(count-want)+1e-6)
			}
		}
	})
}

func TestBucketsAreNarrow(t *testing.T) {
	for _, v := range []float32{1e-30, 0.001, 0.5, 0.999, 1, 7, 3e38} {
		b := bucket(v)
		assert.LessOrEqual(t, edge(b), v)
		assert.Greater(t, edge(b+1), v)
		assert.Less(t, float64(edge(b+1)/edge(b)), 1.0021)
		assert.Equal(t, b, bucket(-v))
	}
}

func TestPaddingDoesNotCount(t *testing.T) {
	d := new(distribution)
	gate := tensor.New(tensor.WithShape(3, 2), tensor.WithBacking([]float32{1, 2, float32(math.NaN()), 0, 3, 4}))
	require.NoError(t, d.add(Activations{Gate: gate, Live: []int32{0, -1, 1}}))
	assert.EqualValues(t, 4, d.total)
	assert.ErrorContains(t, d.add(Activations{Gate: gate}), "not a finite number")
	assert.ErrorContains(t, d.add(Activations{Gate: gate, Live: []int32{0}}), "1 entries for 3 rows")
}

func TestWideGateValues(t *testing.T) {
	d := new(distribution)
	require.NoError(t, d.add(Activations{Gate: tensor.New(tensor.WithShape(4), tensor.WithBacking([]float64{-1, 0, 2, 3}))}))
	assert.Equal(t, 0.5, d.above(1.5))
	ints := tensor.New(tensor.WithShape(4), tensor.WithBacking([]int64{1, 2, 3, 4}))
	assert.ErrorContains(t, d.add(Activations{Gate: ints}), "int64")
}
