package kernel

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/sparsegonia/sparsegonia/ops/simd"
	"github.com/sparsegonia/sparsegonia/ops/weights"
)

// The benchmarks print what they reach beside what the machine gives, measured in turns with it: a
// machine has other work too, and neither figure means anything without the other.

const benchH, benchI = 3072, 8192

// cold is far more than the caches hold.
const cold = 640 << 20

// coldMatrices are views of rows × cols over one buffer, so many that none is in a cache when its
// turn comes again: sets of per matrices whose rows take turns.
func coldMatrices(d weights.Dtype, rows, cols, per int) ([][]*weights.Matrix, []byte) {
	r := rand.New(rand.NewPCG(1, 1))
	const distinct = 512
	src := randomMatrix(r, d, distinct, cols)
	stride := src.Stride()
	bytes := per * rows * stride
	n := max((cold+bytes-1)/bytes, 2)
	buf := weights.AlignedBytes(n * bytes)
	for i := range n * per * rows {
		copy(buf[i*stride:], src.Row(i%distinct))
	}
	var sets [][]*weights.Matrix
	for i := range n {
		var set []*weights.Matrix
		for k := range per {
			m, err := weights.MatrixView(d, rows, cols, per*stride, buf[i*bytes+k*stride:][:bytes-k*stride])
			if err != nil {
				panic(err)
			}
			set = append(set, m)
		}
		sets = append(sets, set)
	}
	return sets, buf
}

func coldMLPs(d weights.Dtype, inner, hidden int) ([]*MLP[float32], []byte) {
	sets, buf := coldMatrices(d, inner, hidden, 3)
	var layers []*MLP[float32]
	for _, s := range sets {
		layers = append(layers, &MLP[float32]{Gate: s[0], Up: s[1], Down: s[2]})
	}
	return layers, buf
}

// undisturbed is the tenth of x from below: what a machine with other work does when that work
// pauses.
func undisturbed(x []float64) float64 {
	slices.Sort(x)
	return x[len(x)/10]
}

// rates runs f and the read roof in turns and reports both; f touches bytes of weights.
func rates(b *testing.B, p *CPU, buf []byte, bytes int, f func(i int) time.Duration) {
	var took []float64
	roofs := map[int][]float64{}
	const part = 48 << 20
	i, o := 0, 0
	for b.Loop() {
		took = append(took, f(i).Seconds())
		streams := []int{1, 2, 4}[i%3]
		roofs[streams] = append(roofs[streams], timed(func() { ReadRoof(p, buf[o:o+part], streams) }).Seconds()/part)
		if o += part; o+part > len(buf) {
			o = 0
		}
		i++
	}
	roof := 0.0
	for _, r := range roofs {
		roof = max(roof, 1/undisturbed(r))
	}
	t := undisturbed(took)
	b.ReportMetric(1e9*t, "ns/op")
	b.ReportMetric(float64(bytes)/t/1e9, "GB/s")
	b.ReportMetric(roof/1e9, "roof-GB/s")
	b.ReportMetric(float64(bytes)/t/roof, "of-roof")
}

// timed returns how long f takes; with GOMAXPROCS=1 it is the time of the thread, in which nobody
// else runs.
func timed(f func()) time.Duration {
	now := func() time.Duration { return time.Duration(time.Now().UnixNano()) }
	if runtime.GOMAXPROCS(0) == 1 {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		now = threadTime
	}
	start := now()
	f()
	return now() - start
}

// assembly calls f with a pool of GOMAXPROCS threads for every variant but the generic one.
func assembly(f func(name string, p *CPU)) {
	for _, name := range simd.Variants() {
		if name != "generic" {
			p := NewCPU(runtime.GOMAXPROCS(0), WithVariant(name))
			f(name, p)
			p.Close()
		}
	}
}

func BenchmarkGEMV(b *testing.B) {
	r := rand.New(rand.NewPCG(2, 2))
	for _, shape := range [][2]int{{8192, 3072}, {3072, 8192}, {1536, 576}, {576, 576}} {
		rows, cols := shape[0], shape[1]
		x, xT := randoms(r, cols), randoms(r, rows)
		y, yT := make([]float32, rows), make([]float32, cols)
		for _, d := range floatDtypes {
			sets, buf := coldMatrices(d, rows, cols, 1)
			assembly(func(name string, p *CPU) {
				bytes := rows * d.RowBytes(cols)
				b.Run(fmt.Sprintf("%dx%d/%v/%s", rows, cols, d, name), func(b *testing.B) {
					rates(b, p, buf, bytes, func(i int) time.Duration {
						return timed(func() { Linear(p, y, x, sets[i%len(sets)][0], nil) })
					})
				})
				b.Run(fmt.Sprintf("%dx%dT/%v/%s", rows, cols, d, name), func(b *testing.B) {
					rates(b, p, buf, bytes, func(i int) time.Duration {
						return timed(func() { LinearT(p, yT, xT, sets[i%len(sets)][0], nil) })
					})
				})
			})
		}
	}
}

// activeSets are sorted random sets of n of benchI neurons.
func activeSets(r *rand.Rand, inner, n int) (sets [8][]int32) {
	for i := range sets {
		for _, k := range r.Perm(inner)[:n] {
			sets[i] = append(sets[i], int32(k))
		}
		slices.Sort(sets[i])
	}
	return sets
}

// A sparse MLP should take its share of the time of the dense one, which runs in turns with it:
// "of-share" is time/(fraction·dense time).
func BenchmarkSparseMLP(b *testing.B) {
	r := rand.New(rand.NewPCG(2, 2))
	for _, shape := range [][2]int{{benchI, benchH}, {1536, 576}} {
		inner, hidden := shape[0], shape[1]
		x, y := randoms(r, hidden), make([]float32, hidden)
		all := activeSets(r, inner, inner)[0]
		for _, d := range floatDtypes {
			layers, buf := coldMLPs(d, inner, hidden)
			assembly(func(name string, p *CPU) {
				for _, percent := range []int{100, 50, 20, 10} {
					n := inner * percent / 100
					sets := activeSets(r, inner, n)
					b.Run(fmt.Sprintf("%dx%d/%v/%s/%d%%", inner, hidden, d, name, percent), func(b *testing.B) {
						var dense, sparse []float64
						k := 0
						mlp := func(slots []int32) time.Duration {
							k++
							return timed(func() { SparseMLP(p, y, x, layers[k%len(layers)], slots, nil, nil) })
						}
						rates(b, p, buf, n*3*d.RowBytes(hidden), func(i int) time.Duration {
							dense = append(dense, mlp(all).Seconds())
							t := mlp(sets[i%len(sets)])
							sparse = append(sparse, t.Seconds())
							return t
						})
						b.ReportMetric(100*undisturbed(sparse)/undisturbed(dense)/float64(percent), "of-share")
					})
				}
			})
		}
	}
}

// The whole of a sparse MLP of 20 % active neurons: a low-rank predictor of 4 %, the mask, its
// slots and the MLP.
func BenchmarkPredictedMLP(b *testing.B) {
	r := rand.New(rand.NewPCG(2, 2))
	const rank = benchI * 4 / 100
	x, y := randoms(r, benchH), make([]float32, benchH)
	low, scores := make([]float32, rank), make([]float32, benchI)
	all := activeSets(r, benchI, benchI)[0]
	layers, buf := coldMLPs(weights.F32, benchI, benchH)
	for _, d := range []weights.Dtype{weights.F32, weights.F16} {
		downs, _ := coldMatrices(d, rank, benchH, 1)
		ups, _ := coldMatrices(d, benchI, rank, 1)
		assembly(func(name string, p *CPU) {
			b.Run(fmt.Sprintf("%v/%s", d, name), func(b *testing.B) {
				taus := make([][]float32, len(downs)) // for exactly a fifth
				for i := range downs {
					Linear(p, low, x, downs[i][0], nil)
					Linear(p, scores, low, ups[0][0], nil)
					slices.Sort(scores)
					taus[i] = []float32{scores[benchI*80/100]}
				}
				mask, slots := make([]bool, benchI), make([]int32, 0, benchI)
				var dense, sparse []float64
				k := 0
				rates(b, p, buf, benchI/5*3*4*benchH, func(i int) time.Duration {
					k++
					dense = append(dense, timed(func() { SparseMLP(p, y, x, layers[k%len(layers)], all, nil, nil) }).Seconds())
					k++
					t := timed(func() {
						Linear(p, low, x, downs[i%len(downs)][0], nil)
						Linear(p, scores, low, ups[i%len(ups)][0], nil)
						MaskThreshold(mask, scores, taus[i%len(taus)], false)
						slots = slots[:0]
						for n, m := range mask {
							if m {
								slots = append(slots, int32(n))
							}
						}
						SparseMLP(p, y, x, layers[k%len(layers)], slots, nil, nil)
					})
					sparse = append(sparse, t.Seconds())
					return t
				})
				b.ReportMetric(undisturbed(dense)/undisturbed(sparse), "times-faster")
				b.ReportMetric(100*float64(len(slots))/benchI, "%active")
			})
		})
	}
}

func BenchmarkGEMM(b *testing.B) {
	r := rand.New(rand.NewPCG(3, 3))
	for _, d := range floatDtypes {
		w := randomMatrix(r, d, benchI, benchH)
		for _, T := range []int{2, 4, 8, 16, 32, 128} {
			x, y := randoms(r, T*benchH), make([]float32, T*benchI)
			xT, yT := randoms(r, T*benchI), make([]float32, T*benchH)
			assembly(func(name string, p *CPU) {
				run := func(name string, f func()) {
					b.Run(name, func(b *testing.B) {
						var peaks, took []float64
						for b.Loop() {
							took = append(took, timed(f).Seconds())
							peaks = append(peaks, 1/FMAPeak(p, 5*time.Millisecond))
						}
						t, peak := undisturbed(took), 1/undisturbed(peaks)
						rate := 2 * float64(T*benchI*benchH) / t
						b.ReportMetric(1e9*t, "ns/op")
						b.ReportMetric(rate/1e9, "GFLOP/s")
						b.ReportMetric(peak/1e9, "peak-GFLOP/s")
						b.ReportMetric(rate/peak, "of-peak")
					})
				}
				run(fmt.Sprintf("%v/T%d/%s", d, T, name), func() { Linear(p, y, x, w, nil) })
				run(fmt.Sprintf("%v/T%dT/%s", d, T, name), func() { LinearT(p, yT, xT, w, nil) })
			})
		}
	}
}
