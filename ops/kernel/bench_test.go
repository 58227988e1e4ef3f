package kernel

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

const benchH, benchI = 3072, 8192

// coldMLPs are enough layers over one buffer that none is in a cache when its turn comes again.
func coldMLPs(d Dtype, least int) ([]*MLP[float32], []byte) {
	r := rand.New(rand.NewPCG(1, 1))
	src := randomMatrix(r, d, 64, benchH)
	stride := src.Stride()
	per := 3 * benchI * stride
	n := max((least+per-1)/per, 2)
	buf := allocate(n * per)
	var layers []*MLP[float32]
	for l := range n {
		data := buf[l*per:][:per]
		for i := range 3 * benchI {
			copy(data[i*stride:], src.Row(i%64))
		}
		part := func(k int) *Matrix {
			m, err := MatrixView(d, benchI, benchH, 3*stride, data[k*stride:])
			if err != nil {
				panic(err)
			}
			return m
		}
		layers = append(layers, &MLP[float32]{Gate: part(0), Up: part(1), Down: part(2)})
	}
	return layers, buf
}

const cold = 1 << 30

func BenchmarkSparseMLP(b *testing.B) {
	r := rand.New(rand.NewPCG(2, 2))
	x, y := randoms(r, benchH), make([]float32, benchH)
	for _, d := range floatDtypes {
		layers, buf := coldMLPs(d, cold)
		for _, name := range Variants() {
			if name == "generic" {
				continue
			}
			p := NewPool(2, WithVariant(name))
			for _, percent := range []int{100, 50, 20, 10} {
				sets := make([][]int32, 8)
				bytes := 0
				for i := range sets {
					for k := range benchI {
						if r.IntN(100) < percent {
							sets[i] = append(sets[i], int32(k))
						}
					}
					bytes += len(sets[i]) * 3 * d.RowBytes(benchH) / len(sets)
				}
				b.Run(fmt.Sprintf("%v/%s/%d%%", d, name, percent), func(b *testing.B) {
					roof := BestReadRoof(p, buf)
					b.SetBytes(int64(bytes))
					b.ResetTimer()
					i := 0
					for b.Loop() {
						SparseMLP(p, y, x, layers[i%len(layers)], sets[i%len(sets)], nil, nil)
						i++
					}
					rate := float64(bytes) * float64(b.N) / b.Elapsed().Seconds()
					roof = max(roof, BestReadRoof(p, buf))
					b.ReportMetric(roof/1e9, "roof-GB/s")
					b.ReportMetric(rate/roof, "of-roof")
				})
			}
			p.Close()
		}
	}
}

func BenchmarkGEMV(b *testing.B) {
	r := rand.New(rand.NewPCG(2, 2))
	for _, d := range floatDtypes {
		layers, buf := coldMLPs(d, cold)
		for _, name := range Variants() {
			if name == "generic" {
				continue
			}
			p := NewPool(2, WithVariant(name))
			wide, narrow := randoms(r, benchI), randoms(r, benchH)
			for _, shape := range []string{"8192x3072", "3072x8192T"} {
				b.Run(fmt.Sprintf("%v/%s/%s", d, name, shape), func(b *testing.B) {
					roof := BestReadRoof(p, buf)
					b.SetBytes(int64(layers[0].Up.Bytes()))
					b.ResetTimer()
					i := 0
					for b.Loop() {
						m := layers[i%len(layers)]
						if shape == "8192x3072" {
							Linear(p, wide, narrow, []*Matrix{m.Gate, m.Up}[i/len(layers)%2], nil)
						} else {
							LinearT(p, narrow, wide, m.Down, nil)
						}
						i++
					}
					rate := float64(layers[0].Up.Bytes()) * float64(b.N) / b.Elapsed().Seconds()
					roof = max(roof, BestReadRoof(p, buf))
					b.ReportMetric(roof/1e9, "roof-GB/s")
					b.ReportMetric(rate/roof, "of-roof")
				})
			}
			p.Close()
		}
	}
}

func BenchmarkGEMM(b *testing.B) {
	r := rand.New(rand.NewPCG(3, 3))
	for _, d := range floatDtypes {
		w := randomMatrix(r, d, benchI, benchH)
		for _, T := range []int{8, 32, 128} {
			x, y := randoms(r, T*benchH), make([]float32, T*benchI)
			for _, name := range Variants() {
				if name == "generic" {
					continue
				}
				p := NewPool(2, WithVariant(name))
				b.Run(fmt.Sprintf("%v/T%d/%s", d, T, name), func(b *testing.B) {
					peak := FMAPeak(p, 20*time.Millisecond)
					b.ResetTimer()
					for b.Loop() {
						Linear(p, y, x, w, nil)
					}
					rate := 2 * float64(T*benchI*benchH) * float64(b.N) / b.Elapsed().Seconds()
					peak = max(peak, FMAPeak(p, 20*time.Millisecond))
					b.ReportMetric(rate/1e9, "GFLOP/s")
					b.ReportMetric(peak/1e9, "peak-GFLOP/s")
					b.ReportMetric(rate/peak, "of-peak")
				})
				p.Close()
			}
		}
	}
}

func BenchmarkPool(b *testing.B) {
	for _, threads := range []int{1, 2} {
		b.Run(fmt.Sprintf("threads=%d", threads), func(b *testing.B) {
			p := NewPool(threads)
			defer p.Close()
			f := func(int) {}
			for b.Loop() {
				p.Run(threads, f)
			}
		})
	}
}
