package llama

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/sparsegonia/sparsegonia/cache"
	"github.com/sparsegonia/sparsegonia/graph/calibrate"
	"github.com/sparsegonia/sparsegonia/ops/kernel"
	"github.com/sparsegonia/sparsegonia/ops/weights"
)

// Session runs a model on the tokens of one or more sequences, each with its own past. Sessions
// share the weights of their model and nothing else. A session serves one goroutine at a time.
//
// Prompts go through graphs of 1, 8, 32 and 128 tokens, new tokens through one of a row for every
// sequence. Graphs are built when they are first needed; none is built for a token. With a Plan,
// the graphs that decode have sparse MLPs, and share one cache for each layer.
type Session struct {
	model *Model
	o     SessionOptions
	state *State

	length   []int // tokens of each sequence that are in the state
	programs map[programKey]*program
	caches   []cache.Cache // of each layer; nil: none yet, or the layer is dense
	sampler  sampler
	closed   bool
}

// SessionOptions describe a session. The zero value is one dense sequence of the full context. An
// option that would do nothing is an error.
type SessionOptions struct {
	Sequences int           // that decode together; 0 is 1
	Context   int           // most tokens of a sequence; 0 is what the model was trained for
	KV        weights.Dtype // of keys and values: F32 or F16

	Machine Machine // makes what runs the graphs; nil: Lean
	Stock   bool    // linears as Gorgonia's own nodes, in float32: see GraphOptions

	Plan *calibrate.Plan // nil: dense
	CPU  *kernel.CPU     // nil: kernel.DefaultCPU

	// Cache makes the cache of a layer that the Plan makes sparse, once for the session, which
	// closes it if it is an io.Closer. n is the layer's neurons: a *weights.Neurons, or a
	// *cache.StreamLayer if they lie in a neuron file. Nil is cache.InPlace, or what Window says.
	Cache func(layer int, n weights.Source) (cache.Cache, error)

	// Window says what a session with a Plan keeps in memory of a neuron file. Budget is in bytes,
	// for all layers together. No Tokens are 5.
	Window cache.WindowOptions
}

// check reports the first option that has no effect.
func (o *SessionOptions) check(m *Model) error {
	windowed := o.Window != (cache.WindowOptions{})
	switch {
	case o.Plan == nil && o.Cache != nil:
		return errors.New("llama: session: Cache: there is no Plan, so no layer has a cache")
	case o.Plan == nil && windowed:
		return errors.New("llama: session: Window: there is no Plan, so no layer has a window")
	case windowed && o.Cache != nil:
		return errors.New("llama: session: Window: Cache makes the caches")
	case windowed && m.neurons == nil:
		return errors.New("llama: session: Window: the neurons of the model are in memory, not in a neuron file")
	}
	return nil
}

// NewSession starts a session without a past.
func (m *Model) NewSession(o SessionOptions) (*Session, error) {
	if m.closed {
		return nil, fmt.Errorf("llama: the model: %w", ErrClosed)
	}
	if err := o.check(m); err != nil {
		return nil, err
	}
	o.Sequences = cmp.Or(o.Sequences, 1)
	o.Context = cmp.Or(o.Context, m.Config.MaxContext)
	if o.Machine == nil {
		o.Machine = Lean
	}
	state, err := m.NewState(o.Sequences, o.Context, o.KV)
	if err != nil {
		return nil, err
	}
	return &Session{
		model: m, o: o, state: state,
		length:   make([]int, o.Sequences),
		programs: map[programKey]*program{},
		caches:   make([]cache.Cache, m.Config.Layers),
	}, nil
}

// Close stops the machines and the caches of the session.
func (s *Session) Close() error {
	s.closed = true
	var errs []error
	for _, p := range s.programs {
		errs = append(errs, p.vm.Close())
	}
	clear(s.programs)
	for _, c := range s.caches {
		if c, ok := c.(io.Closer); ok {
			errs = append(errs, c.Close())
		}
	}
	clear(s.caches)
	return errors.Join(errs...)
}

// usable returns ErrClosed after Close.
func (s *Session) usable() error {
	switch {
	case s.closed:
		return fmt.Errorf("llama: the session: %w", ErrClosed)
	case s.model.closed:
		return fmt.Errorf("llama: the model: %w", ErrClosed)
	}
	return nil
}

// Reset forgets the tokens of every sequence. Graphs and statistics stay.
func (s *Session) Reset() { clear(s.length) }

// Length returns the number of tokens in the past of a sequence.
func (s *Session) Length(sequence int) int { return s.length[sequence] }

// Prefill appends ids to a sequence and returns the logits that follow the last of them, valid
// until the next call. After an error the sequence is what it was; ErrContextFull is one.
func (s *Session) Prefill(ctx context.Context, sequence int, ids []int32) ([]float32, error) {
	if sequence < 0 || sequence >= len(s.length) {
		return nil, fmt.Errorf("llama: sequence %d of %d", sequence, len(s.length))
	}
	if err := s.checkPrompt(ids, s.length[sequence]); err != nil {
		return nil, err
	}
	return s.prefill(ctx, sequence, ids)
}

func (s *Session) prefill(ctx context.Context, sequence int, ids []int32) ([]float32, error) {
	var logits []float32
	err := s.run(ctx, sequence, ids, lastRow, func(_ int, row []float32) error {
		logits = row
		return nil
	})
	return logits, err
}

// Logits runs ids as a sequence of its own, the new past of sequence 0, and yields the logits that
// follow every position in order. A row is valid during its call. An error of yield ends the run.
func (s *Session) Logits(ctx context.Context, ids []int32, yield func(position int, logits []float32) error) error {
	if err := s.checkPrompt(ids, 0); err != nil {
		return err
	}
	s.length[0] = 0
	return s.run(ctx, 0, ids, everyRow, yield)
}

// checkPrompt returns why ids cannot follow a past of the given length.
func (s *Session) checkPrompt(ids []int32, past int) error {
	if err := s.usable(); err != nil {
		return err
	}
	if len(ids) == 0 {
		return errors.New("llama: the prompt is empty")
	}
	if past+len(ids) > s.o.Context {
		return fmt.Errorf("llama: %w: %d tokens after %d are more than the context of %d", ErrContextFull, len(ids), past, s.o.Context)
	}
	for i, id := range ids {
		if id < 0 || int(id) >= s.model.Config.VocabSize {
			return fmt.Errorf("llama: token %d of the prompt is %d, not in the vocabulary of %d", i, id, s.model.Config.VocabSize)
		}
	}
	return nil
}

// run feeds ids to a sequence in chunks and yields the logits of the wanted rows.
func (s *Session) run(ctx context.Context, sequence int, ids []int32, want rows, yield func(int, []float32) error) error {
	past := s.length[sequence]
	s.state.rotary.SetLength(past + len(ids))
	for done := 0; done < len(ids); {
		if err := ctx.Err(); err != nil {
			return err
		}
		size := chunkSize(len(ids) - done)
		n := min(size, len(ids)-done)
		p, err := s.program(programKey{tokens: size, rows: want.of(size, done+n == len(ids))})
		if err != nil {
			return err
		}
		for t := range size {
			p.setToken(t, -1, -1, 0)
		}
		for t, id := range ids[done : done+n] {
			p.setToken(t, id, past+done+t, sequence)
		}
		p.setRows(n)
		logits, err := p.run()
		if err != nil {
			return err
		}
		if p.rows != nil {
			for i, row := 0, n-min(n, len(p.rows)); row < n; i, row = i+1, row+1 {
				if err := yield(past+done+row, p.row(logits, i)); err != nil {
					return err
				}
			}
		}
		done += n
	}
	s.length[sequence] = past + len(ids)
	return nil
}

// chunks are the numbers of tokens that there are prompt graphs for.
var chunks = [...]int{1, 8, 32, 128}

// chunkSize picks the graph for the next of n tokens: the smallest that takes them all if at least
// half of it is used, else the largest that they fill.
func chunkSize(n int) int {
	best := chunks[0]
	for _, c := range chunks {
		if c <= n {
			best = c
		} else if c <= 2*n {
			return c
		}
	}
	return best
}

// rows says which rows of a prompt have logits.
type rows bool

const (
	lastRow  rows = false
	everyRow rows = true
)

// of returns the number of rows of a chunk of the given size that need logits.
func (r rows) of(size int, last bool) int {
	switch {
	case r == everyRow:
		return size
	case last:
		return 1
	default:
		return 0
	}
}

// Decode appends one token to each sequence and returns the logits that follow, Sequences ×
// vocabulary, valid until the next call. A sequence whose id is −1 idles: it stays as it is and has
// no logits. After an error the sequences are what they were; ErrContextFull is one.
func (s *Session) Decode(ctx context.Context, ids []int32) ([]float32, error) {
	if err := s.usable(); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if len(ids) != len(s.length) {
		return nil, fmt.Errorf("llama: %d tokens for %d sequences", len(ids), len(s.length))
	}
	longest := 0
	for i, id := range ids {
		if id == -1 {
			continue
		}
		if id < 0 || int(id) >= s.model.Config.VocabSize {
			return nil, fmt.Errorf("llama: token %d of sequence %d is not in the vocabulary of %d", id, i, s.model.Config.VocabSize)
		}
		if s.length[i] >= s.o.Context {
			return nil, fmt.Errorf("llama: %w: sequence %d has reached the context of %d", ErrContextFull, i, s.o.Context)
		}
		longest = max(longest, s.length[i]+1)
	}
	if longest == 0 {
		return nil, errors.New("llama: every sequence idles")
	}
	p, err := s.program(programKey{tokens: len(ids), rows: len(ids), decode: true})
	if err != nil {
		return nil, err
	}
	s.state.rotary.SetLength(longest)
	for i, id := range ids {
		p.setToken(i, id, s.length[i], i)
		if id == -1 {
			p.setToken(i, -1, -1, i)
		}
		p.rows[i] = int32(i)
	}
	logits, err := p.run()
	if err != nil {
		return nil, err
	}
	for i, id := range ids {
		if id != -1 {
			s.length[i]++
		}
	}
	return logits, nil
}

// decodeOne is Decode for one sequence while the others idle.
func (s *Session) decodeOne(ctx context.Context, sequence int, id int32) ([]float32, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	p, err := s.program(programKey{tokens: 1, rows: 1, decode: true})
	if err != nil {
		return nil, err
	}
	s.state.rotary.SetLength(s.length[sequence] + 1)
	p.setToken(0, id, s.length[sequence], sequence)
	p.rows[0] = 0
	logits, err := p.run()
	if err == nil {
		s.length[sequence]++
	}
	return logits, err
}

// Perplexity is exp of the mean negative log-likelihood of the tokens of ids, in windows of at most
// the given length that do not overlap: every token of a window but its first is scored, given
// those before it in the window. The last window is left out if it has one token.
//
// Without a plan, windows go through the prompt graphs. With one, they go token by token through
// the graph that decodes, sparse as it is. The past of sequence 0 is lost.
func (s *Session) Perplexity(ctx context.Context, ids []int32, window int) (float64, error) {
	if window < 2 || window > s.o.Context {
		return 0, fmt.Errorf("llama: a window of %d tokens (2 to the context of %d)", window, s.o.Context)
	}
	if len(ids) < 2 {
		return 0, fmt.Errorf("llama: perplexity of %d tokens (2 or more)", len(ids))
	}
	var sum float64
	scored := 0
	for start := 0; start < len(ids)-1; start += window {
		part := ids[start:min(start+window, len(ids))]
		if err := s.checkPrompt(part, 0); err != nil {
			return 0, err
		}
		score := func(position int, logits []float32) error {
			if position+1 < len(part) {
				sum -= logLikelihood(logits, part[position+1])
				scored++
			}
			return nil
		}
		if err := s.scoreWindow(ctx, part, score); err != nil {
			return 0, err
		}
	}
	return math.Exp(sum / float64(scored)), nil
}

func (s *Session) scoreWindow(ctx context.Context, ids []int32, score func(int, []float32) error) error {
	s.length[0] = 0
	if s.o.Plan == nil {
		return s.run(ctx, 0, ids, everyRow, score)
	}
	for i, id := range ids[:len(ids)-1] {
		logits, err := s.decodeOne(ctx, 0, id)
		if err != nil {
			return err
		}
		if err := score(i, logits); err != nil {
			return err
		}
	}
	return nil
}

// logLikelihood returns the logarithm of the probability of a token.
func logLikelihood(logits []float32, id int32) float64 {
	highest := float64(logits[kernel.Argmax(logits)])
	var sum float64
	for _, x := range logits {
		sum += math.Exp(float64(x) - highest)
	}
	return float64(logits[id]) - highest - math.Log(sum)
}
