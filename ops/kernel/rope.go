package kernel

import (
	"fmt"
	"math"
	"sync"
	"sync/atomic"

	"github.com/sparsegonia/sparsegonia/ops/parallel"
)

// RotaryConfig describes rotary position embeddings, as a Hugging Face configuration (rope_theta,
// rope_scaling) or GGUF metadata do.
type RotaryConfig struct {
	HeadDim         int     // numbers of a head
	Dim             int     // numbers of a head that are rotated, even; 0 means HeadDim
	Theta           float64 // base of the wavelengths; 0 means 10000
	Scaling         string  // "", "default", "linear", "dynamic" or "llama3"
	Factor          float64
	LowFreqFactor   float64   // llama3
	HighFreqFactor  float64   // llama3
	OriginalContext int       // llama3 and dynamic: positions the model was trained on
	MaxContext      int       // positions that may be used; 0 means any
	Factors         []float32 // GGUF rope_freqs.weight: divisors of the frequencies, Dim/2
	Interleaved     bool      // pairs are (2i, 2i+1), the order of a GGUF Llama, rather than (i, i+Dim/2)
}

// Rotary holds the sines and cosines of rotary embeddings. Goroutines may share it, except that
// SetLength must not run while RoPE does.
type Rotary struct {
	config RotaryConfig
	length int // that dynamic scaling was computed for
	freqs  []float32

	grow  sync.Mutex
	table atomic.Pointer[[]float32] // position → Dim/2 cosines, Dim/2 sines
}

// NewRotary checks c and returns its Rotary.
func NewRotary(c RotaryConfig) (*Rotary, error) {
	if c.Dim == 0 {
		c.Dim = c.HeadDim
	}
	if c.Theta == 0 {
		c.Theta = 10000
	}
	positive := func(x float64) bool { return x > 0 && x <= math.MaxFloat64 }
	switch {
	case c.HeadDim <= 0 || c.HeadDim > 1<<16:
		return nil, fmt.Errorf("kernel: rotary: head dimension %d", c.HeadDim)
	case c.Dim < 0 || c.Dim > c.HeadDim || c.Dim%2 != 0:
		return nil, fmt.Errorf("kernel: rotary: %d rotated of %d numbers of a head", c.Dim, c.HeadDim)
	case !positive(c.Theta):
		return nil, fmt.Errorf("kernel: rotary: theta %v", c.Theta)
	case c.MaxContext < 0:
		return nil, fmt.Errorf("kernel: rotary: context %d", c.MaxContext)
	case c.Factors != nil && len(c.Factors) != c.Dim/2:
		return nil, fmt.Errorf("kernel: rotary: %d frequency factors for %d pairs", len(c.Factors), c.Dim/2)
	}
	for i, f := range c.Factors {
		if !positive(float64(f)) {
			return nil, fmt.Errorf("kernel: rotary: frequency factor %d is %v", i, f)
		}
	}
	switch c.Scaling {
	case "", "default":
	case "linear", "dynamic", "llama3":
		if !positive(c.Factor) {
			return nil, fmt.Errorf("kernel: rotary: %s scaling with factor %v", c.Scaling, c.Factor)
		}
		if c.Scaling != "linear" && c.OriginalContext <= 0 {
			return nil, fmt.Errorf("kernel: rotary: %s scaling with original context %d", c.Scaling, c.OriginalContext)
		}
		if c.Scaling == "llama3" && !(positive(c.LowFreqFactor) && positive(c.HighFreqFactor) && c.LowFreqFactor < c.HighFreqFactor) {
			return nil, fmt.Errorf("kernel: rotary: llama3 scaling between frequency factors %v and %v", c.LowFreqFactor, c.HighFreqFactor)
		}
	default:
		return nil, fmt.Errorf("kernel: rotary: unknown scaling %q", c.Scaling)
	}
	r := &Rotary{config: c}
	r.freqs = r.frequencies(c.Theta)
	return r, nil
}

// Config returns the configuration with its defaults filled in.
func (r *Rotary) Config() RotaryConfig { return r.config }

// SetLength sets the length of the sequence that the next call is part of. With dynamic scaling the
// base grows with it beyond the original context, as transformers computes it. Other scalings
// ignore it.
func (r *Rotary) SetLength(n int) {
	c := &r.config
	if c.Scaling != "dynamic" {
		return
	}
	n = max(n, c.OriginalContext)
	if n == r.length {
		return
	}
	theta := c.Theta
	if n > c.OriginalContext && c.Dim > 2 {
		growth := c.Factor*float64(n)/float64(c.OriginalContext) - (c.Factor - 1)
		theta *= math.Pow(growth, float64(c.Dim)/float64(c.Dim-2))
	}
	r.length = n
	r.freqs = r.frequencies(theta)
	r.table.Store(nil)
}

// frequencies returns the angle of every pair at position 1, rounded to float32 where transformers
// does.
func (r *Rotary) frequencies(theta float64) []float32 {
	c := &r.config
	f := make([]float32, c.Dim/2)
	for i := range f {
		v := float32(1 / math.Pow(theta, float64(2*i)/float64(c.Dim)))
		switch c.Scaling {
		case "linear":
			v /= float32(c.Factor)
		case "llama3": // long wavelengths are stretched, short ones kept, those between blended
			context := float64(c.OriginalContext)
			wavelength := 2 * math.Pi / float64(v)
			switch {
			case wavelength > context/c.LowFreqFactor:
				v /= float32(c.Factor)
			case wavelength >= context/c.HighFreqFactor:
				smooth := (context/wavelength - c.LowFreqFactor) / (c.HighFreqFactor - c.LowFreqFactor)
				v = float32((1-smooth)*float64(v)/c.Factor + smooth*float64(v))
			}
		}
		if c.Factors != nil {
			v /= c.Factors[i]
		}
		f[i] = v
	}
	return f
}

// through returns the table with the positions up to last.
func (r *Rotary) through(last int) []float32 {
	dim := r.config.Dim
	if t := r.table.Load(); t != nil && len(*t) > last*dim {
		return *t
	}
	r.grow.Lock()
	defer r.grow.Unlock()
	var old []float32
	if t := r.table.Load(); t != nil {
		old = *t
	}
	n := len(old)
	if dim > 0 {
		n /= dim
	}
	if n > last {
		return old
	}
	want := max(last+1, 2*n, 64)
	if r.config.MaxContext > last {
		want = min(want, r.config.MaxContext)
	}
	table := make([]float32, want*dim)
	copy(table, old)
	for pos := n; pos < want; pos++ {
		row := table[pos*dim:][:dim]
		for i, f := range r.freqs {
			sin, cos := math.Sincos(float64(float32(pos) * f))
			row[i], row[dim/2+i] = float32(cos), float32(sin)
		}
	}
	r.table.Store(&table)
	return table
}

// RoPE rotates the heads of x T×(heads·HeadDim), row t by positions[t]. A row of position −1 is
// copied. y may be x.
func RoPE(cpu *CPU, y, x []float32, heads int, positions []int32, r *Rotary) {
	if len(x) != len(positions)*heads*r.config.HeadDim || len(y) != len(x) {
		panic(panicShape)
	}
	last := -1
	for _, pos := range positions {
		if pos < -1 || r.config.MaxContext > 0 && int(pos) >= r.config.MaxContext {
			panic(panicBounds)
		}
		last = max(last, int(pos))
	}
	if len(x) == 0 {
		return
	}
	cpu = orDefault(cpu)
	cpu.mu.Lock()
	defer cpu.mu.Unlock()
	t := ropeTasks.of(cpu)
	*t = ropeTask{y: y, x: x, heads: heads, positions: positions, rotary: r}
	if last >= 0 {
		t.table = r.through(last)
	}
	t.rows = max(elementsPerPiece/(heads*r.config.HeadDim), 1)
	cpu.do((len(positions)+t.rows-1)/t.rows, t)
	*t = ropeTask{}
}

var ropeTasks = newPerCPU[ropeTask]()

type ropeTask struct {
	y, x      []float32
	heads     int
	positions []int32
	rotary    *Rotary
	table     []float32
	rows      int // in a piece
}

func (t *ropeTask) Piece(_ *parallel.Worker, i int) {
	c := &t.rotary.config
	width, half := t.heads*c.HeadDim, c.Dim/2
	for row := i * t.rows; row < min((i+1)*t.rows, len(t.positions)); row++ {
		x, y := t.x[row*width:][:width], t.y[row*width:][:width]
		pos := int(t.positions[row])
		if pos < 0 {
			copy(y, x)
			continue
		}
		cos, sin := t.table[pos*c.Dim:][:half], t.table[pos*c.Dim+half:][:half]
		for h := 0; h < width; h += c.HeadDim {
			in, out := x[h:h+c.HeadDim], y[h:h+c.HeadDim]
			if c.Interleaved {
				for k, cosine := range cos {
					a, b := in[2*k], in[2*k+1]
					out[2*k], out[2*k+1] = a*cosine-b*sin[k], b*cosine+a*sin[k]
				}
			} else {
				for k, cosine := range cos {
					a, b := in[k], in[k+half]
					out[k], out[k+half] = a*cosine-b*sin[k], b*cosine+a*sin[k]
				}
			}
			copy(out[c.Dim:], in[c.Dim:])
		}
	}
}
