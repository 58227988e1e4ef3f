package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/sparsegonia/sparsegonia/examples/internal/program"
	"github.com/sparsegonia/sparsegonia/graph/calibrate"
	"github.com/sparsegonia/sparsegonia/llama"
	"github.com/sparsegonia/sparsegonia/ops/weights"
	"github.com/sparsegonia/sparsegonia/testdata"
)

// modelSuite is a model in several arms.
type modelSuite struct {
	Machine      machine   `json:"machine"`
	Model        modelInfo `json:"model"`
	Rounds       int       `json:"rounds"` // that every arm has completed
	PromptTokens int       `json:"prompt_tokens"`
	NewTokens    int       `json:"new_tokens"`
	Temperature  float64   `json:"temperature"`

	PerplexityTokens int       `json:"perplexity_tokens"` // 0: not measured
	Arms             []armRow  `json:"arms"`
	Speedups         []speedup `json:"speedups"`

	MLP []kernelRow `json:"mlp"` // one cold MLP of the 3B shape; speed only
}

// modelInfo says which model ran.
type modelInfo struct {
	Name         string `json:"name"`
	Random       bool   `json:"random"` // weights of that shape: speed only
	Layers       int    `json:"layers"`
	Hidden       int    `json:"hidden"`
	Intermediate int    `json:"intermediate"`
	Vocabulary   int    `json:"vocabulary"`
	Selector     string `json:"selector"` // of the sparse arm

	context int
}

// speedup compares two arms: the median of the quotients of the runs of a round.
type speedup struct {
	Metric  string  `json:"metric"` // TTFT, Output TPS or Total Throughput
	Arm     string  `json:"arm"`
	Against string  `json:"against"`
	Times   float64 `json:"times"`
}

func runModel(ctx context.Context, b *bench) (report, error) {
	src, err := b.source()
	if err != nil {
		return nil, err
	}
	arms, err := b.chooseArms(src)
	if err != nil {
		return nil, err
	}
	r := &modelSuite{
		Machine: b.machine(), Rounds: b.rounds(10), PromptTokens: b.promptTokens, NewTokens: b.newTokens,
		Temperature: b.temperature,
	}
	folder, err := os.MkdirTemp("", "benchmark")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(folder)
	if b.neurons == "" {
		b.neurons = filepath.Join(folder, "neurons")
	}
	err = b.runArms(ctx, r, src, arms, folder)
	if err == nil {
		debug.FreeOSMemory() // the model, before other processes hold it
		err = b.peakMemory(ctx, r, folder)
	}
	if err == nil && len(arms) > 1 {
		r.MLP, err = b.coldMLP(ctx, src.dtype)
	}
	if err != nil && r.Speedups == nil {
		return nil, err
	}
	return r, err
}

// chooseArms is -arms or, without it, all arms that fit into memory.
func (b *bench) chooseArms(src *source) ([]string, error) {
	arms := b.arms
	if arms == nil {
		arms = []string{stockArm, denseArm, sparseArm}
		if src.checkMemory(arms, b.promptTokens+b.newTokens) != nil {
			arms = arms[1:]
			fmt.Fprintf(b.env.Stderr, "%s: arm stock is left out: its float32 copies of the weights do not fit into memory\n", b.env.Name)
		}
	}
	return arms, src.checkMemory(arms, b.promptTokens+b.newTokens)
}

// runArms measures the arms in one process. It leaves the plan of those that have one in the
// folder.
func (b *bench) runArms(ctx context.Context, r *modelSuite, src *source, names []string, folder string) (err error) {
	models := models{bench: b, source: src}
	defer func() { err = errors.Join(err, models.close()) }()
	model, err := models.open(names[0])
	if err != nil {
		return err
	}
	c := &model.Config
	r.Model = modelInfo{
		Name: src.name, Random: src.random,
		Layers: c.Layers, Hidden: c.HiddenSize, Intermediate: c.IntermediateSize, Vocabulary: c.VocabSize, context: c.MaxContext,
	}
	texts, err := b.texts(model)
	if err != nil {
		return err
	}
	var plan *calibrate.Plan
	if slices.ContainsFunc(names, planned) {
		if plan, err = b.makePlan(ctx, model, src, texts); err != nil {
			return err
		}
		r.Model.Selector = selectors(plan)
		if err := plan.Write(filepath.Join(folder, planFile)); err != nil {
			return err
		}
	}
	var arms []*arm
	for _, name := range names {
		m, err := models.open(name)
		if err != nil {
			return err
		}
		a, err := b.newArm(m, name, src.dtype, plan)
		if err != nil {
			return err
		}
		defer a.session.Close()
		arms = append(arms, a)
		r.Arms = append(r.Arms, armRow{Name: name})
	}
	err = b.runRounds(ctx, r, arms, texts)
	if r.Rounds == 0 {
		return err
	}
	for i, a := range arms {
		b.describe(&r.Arms[i], a, src.dtype, plan)
		r.Arms[i].summarise()
	}
	r.Speedups = compareArms(r.Arms)
	if err == nil {
		err = b.measurePerplexity(ctx, r, arms, texts)
	}
	return err
}

// planFile is the name of the plan.
const planFile = "plan.json"

// models are the model with its MLPs in memory and, for the window arm, in a neuron file: each is
// opened if an arm needs it.
type models struct {
	*bench
	*source
	inMemory, stored *llama.Model
}

func (m *models) open(arm string) (*llama.Model, error) {
	to, neurons := &m.inMemory, ""
	if arm == windowArm {
		to, neurons = &m.stored, m.neurons
	}
	if *to != nil {
		return *to, nil
	}
	wait := m.env.Wait("loading "+m.source.name, 0)
	defer wait.Done()
	var err error
	*to, err = m.source.open(m.bench, neurons)
	return *to, err
}

func (m *models) close() error {
	var errs []error
	for _, model := range []*llama.Model{m.inMemory, m.stored} {
		if model != nil {
			errs = append(errs, model.Close())
		}
	}
	return errors.Join(errs...)
}

// texts are what the arms read.
type texts struct {
	prompts     [][]int32
	evaluation  []int32 // nil: the model has no tokenizer
	calibration []int32
}

const (
	prompts           = 5
	calibrationTokens = 4096
)

// texts takes prompts from held-out Go source or, without a tokenizer, at random.
func (b *bench) texts(m *llama.Model) (*texts, error) {
	random := rand.New(rand.NewPCG(b.seed, 4))
	ids := func(n int) []int32 {
		v := make([]int32, n)
		for i := range v {
			v[i] = random.Int32N(int32(m.Config.VocabSize))
		}
		return v
	}
	t := new(texts)
	source := ids(prompts * b.promptTokens)
	if tokenizer, err := m.Tokenizer(); err == nil {
		if source, err = tokenizer.EncodePlain(testdata.Eval); err != nil {
			return nil, err
		}
		t.evaluation = source
		if t.calibration, err = tokenizer.EncodePlain(testdata.Calibration); err != nil {
			return nil, err
		}
	} else {
		t.calibration = ids(calibrationTokens / 16) // values that mean nothing
	}
	if len(source) < b.promptTokens {
		return nil, program.Usagef("-prompt_tokens %d: the text has %d tokens", b.promptTokens, len(source))
	}
	for i := range prompts {
		first := i * (len(source) - b.promptTokens) / max(prompts-1, 1)
		t.prompts = append(t.prompts, source[first:][:b.promptTokens])
	}
	t.calibration = t.calibration[:min(len(t.calibration), calibrationTokens)]
	return t, nil
}

// makePlan is -plan, what a -config says, or the gate selector with calibrated thresholds.
func (b *bench) makePlan(ctx context.Context, m *llama.Model, src *source, t *texts) (*calibrate.Plan, error) {
	switch {
	case b.plan != "":
		return calibrate.ReadPlan(b.plan)
	case src.random:
		return src.plan(b.sparsity)
	}
	sparsity := b.sparsity
	if sparsity < 0 {
		sparsity = 0.5
	}
	wait := b.env.Wait("calibrating", len(t.calibration))
	defer wait.Done()
	done := 0
	captured, err := m.Calibrate(ctx, t.calibration, llama.CalibrateOptions{CPU: b.cpu, Progress: func(tokens int) {
		wait.Add(tokens - done)
		done = tokens
	}})
	if err != nil {
		return nil, err
	}
	return captured.Plan(1 - sparsity)
}

// plan has the predictors of the ported system, with random weights: they choose as many neurons as
// they are told to, not the right ones. sparsity, if not negative, takes the place of what the
// configuration says.
func (s *source) plan(sparsity float64) (*calibrate.Plan, error) {
	if sparsity < 0 && s.sparse {
		return s.portedPlan()
	}
	if sparsity < 0 {
		sparsity = 0.5
	}
	layer := calibrate.Layer{Kind: calibrate.DenseKind{}}
	if sparsity > 0 {
		layer.Kind = calibrate.LoRAKind{
			Rank:   shape{s.config.HiddenSize, s.config.IntermediateSize}.rank(),
			Method: calibrate.Statistical, Sparsity: sparsity,
		}
	}
	return &calibrate.Plan{Layers: slices.Repeat([]calibrate.Layer{layer}, s.config.Layers)}, nil
}

// portedPlan is what the configuration says.
func (s *source) portedPlan() (*calibrate.Plan, error) {
	f, err := os.CreateTemp("", "config*.json")
	if err != nil {
		return nil, err
	}
	defer os.Remove(f.Name())
	if _, err := f.Write(s.data); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if err := f.Close(); err != nil {
		return nil, err
	}
	p, err := calibrate.ReadPlan(f.Name())
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.name, err)
	}
	return p, nil
}

// selectors names the selectors of a plan.
func selectors(p *calibrate.Plan) string {
	var names []string
	for _, l := range p.Layers {
		if name := l.Kind.Name(); !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return strings.Join(names, ", ")
}

// runRounds runs every arm once a round, after a round to warm up, and each round another one
// first. The arms of a round have the same prompt.
func (b *bench) runRounds(ctx context.Context, r *modelSuite, arms []*arm, t *texts) error {
	rounds := r.Rounds
	r.Rounds = 0
	wait := b.env.Wait("rounds", (rounds+1)*len(arms))
	defer wait.Done()
	for round := -1; round < rounds; round++ {
		prompt := t.prompts[(round+1)%len(t.prompts)]
		all := make([]llama.Stats, len(arms))
		for k := range arms {
			i := (k + round + 1) % len(arms)
			var err error
			if all[i], err = b.generate(ctx, arms[i], prompt, round+1); err != nil {
				return err
			}
			wait.Add(1)
			if b.verbose && round >= 0 {
				fmt.Fprintf(b.env.Stdout, "run %d of %d, %s: TTFT %s, output %s tokens/s, total %s tokens/s\n", round+1, rounds,
					arms[i].name, duration(ttft(all[i])), digits(outputTPS(all[i])), digits(totalTPS(all[i])))
			}
		}
		if round < 0 {
			continue
		}
		r.Rounds++
		for i := range arms {
			r.Arms[i].runs = append(r.Arms[i].runs, all[i])
		}
	}
	return nil
}

func (r *armRow) summarise() {
	r.TTFT = summarise(r.each(ttft))
	r.OutputTPS = summarise(r.each(outputTPS))
	r.TotalTPS = summarise(r.each(totalTPS))
	r.GBPerSecond = float64(r.BytesPerToken) * r.OutputTPS.Median / 1e9
}

// compareArms compares the sparse arm, or the last one if there is none, with the stock and the
// dense arm, in the words of the ported system.
func compareArms(arms []armRow) []speedup {
	all := []speedup{}
	last := &arms[len(arms)-1]
	if i := slices.IndexFunc(arms, func(r armRow) bool { return r.Name == sparseArm }); i >= 0 {
		last = &arms[i]
	}
	for _, metric := range []struct {
		name    string
		of      func(llama.Stats) float64
		isSpeed bool
	}{{"TTFT", ttft, false}, {"Output TPS", outputTPS, true}, {"Total Throughput", totalTPS, true}} {
		for i := range arms {
			other := &arms[i]
			if other == last || planned(other.Name) {
				continue
			}
			var quotients []float64
			ours, theirs := last.each(metric.of), other.each(metric.of)
			for k := range ours {
				q := theirs[k] / ours[k]
				if metric.isSpeed {
					q = ours[k] / theirs[k]
				}
				quotients = append(quotients, q)
			}
			all = append(all, speedup{metric.name, last.Name, other.Name, summarise(quotients).Median})
		}
	}
	return all
}

// perplexityWindow is the length of the windows that n tokens are scored in.
func perplexityWindow(maxContext, n int) int { return min(512, maxContext, n) }

// measurePerplexity puts quality next to speed.
func (b *bench) measurePerplexity(ctx context.Context, r *modelSuite, arms []*arm, t *texts) error {
	n := min(b.evaluatedTokens(), len(t.evaluation))
	if n < 2 || r.Model.Random {
		return nil
	}
	wait := b.env.Wait("perplexity", len(arms))
	defer wait.Done()
	r.PerplexityTokens = n
	for i, a := range arms {
		var err error
		if r.Arms[i].Perplexity, err = a.session.Perplexity(ctx, t.evaluation[:n], perplexityWindow(r.Model.context, n)); err != nil {
			return fmt.Errorf("arm %s: perplexity: %w", a.name, err)
		}
		wait.Add(1)
	}
	return nil
}

// coldMLP times an MLP of the 3B shape with random weights, cold.
func (b *bench) coldMLP(ctx context.Context, d weights.Dtype) ([]kernelRow, error) {
	wait := b.env.Wait("cold MLP", 0)
	defer wait.Done()
	m, err := b.coldMLPs(d)
	if err != nil {
		return nil, err
	}
	rows, err := b.mlpRows(m)
	if err != nil {
		return nil, err
	}
	return rows, b.measureRows(ctx, b.newMeter(5), 10, rows)
}

func (r *modelSuite) print(w io.Writer) {
	r.Machine.print(w)
	m := &r.Model
	kind := ""
	if m.Random {
		kind = ", random weights: speed only"
	}
	fmt.Fprintf(w, "%s: %d layers, hidden %d, intermediate %d, vocabulary %d%s\n",
		m.Name, m.Layers, m.Hidden, m.Intermediate, m.Vocabulary, kind)
	fmt.Fprintf(w, "%d runs of every arm in turns: prompts of %d tokens, %d new tokens\n\n", r.Rounds, r.PromptTokens, r.NewTokens)

	speed := table{header: []string{"<arm", "<weights", "TTFT", "±", "output tokens/s", "±", "total tokens/s", "±", "active", "bytes/token", "GB/s"}}
	for _, a := range r.Arms {
		speed.add(a.Name, a.Dtype, duration(a.TTFT.Median), a.TTFT.percent(), digits(a.OutputTPS.Median), a.OutputTPS.percent(),
			digits(a.TotalTPS.Median), a.TotalTPS.percent(), fmt.Sprintf("%.1f%%", 100*a.Active), sizeOf(a.BytesPerToken),
			digits(a.GBPerSecond))
	}
	speed.print(w)
	fmt.Fprintln(w)
	quality := table{header: []string{
		"<arm", "perplexity", "weights", "of MLPs", "keys and values", "cache hits", "file/token", "peak resident memory of a process with only this arm",
	}}
	for _, a := range r.Arms {
		perplexity := "not measured"
		if a.Perplexity > 0 {
			perplexity = fmt.Sprintf("%.3f", a.Perplexity)
		}
		hits := ""
		if planned(a.Name) {
			hits = fmt.Sprintf("%.1f%%", 100*a.HitRate)
		}
		quality.add(a.Name, perplexity, sizeOf(a.WeightBytes), sizeOf(a.MLPBytes), sizeOf(a.KVBytes), hits, sizeOf(a.FileBytesPerToken),
			sizeOf(a.PeakRSSBytes))
	}
	quality.print(w)
	r.printSpeedups(w)
	if len(r.Arms) > 0 && !m.Random && r.Arms[0].WeightBytes < 64<<20 {
		fmt.Fprint(w, "\nThis model fits into a processor's cache: it shows what the arms cost and that they agree, not what reading fewer\n"+
			"weights is worth. The MLP below does.\n")
	}
	if len(r.MLP) > 0 {
		fmt.Fprintf(w, "\nOne MLP of the 3B shape, random weights, not in the cache: speed only\n\n")
		printKernels(w, r.MLP)
	}
}

// printSpeedups prints a line for every metric.
func (r *modelSuite) printSpeedups(w io.Writer) {
	metric := ""
	for _, s := range r.Speedups {
		if s.Metric != metric {
			fmt.Fprintf(w, "\n%s Speedup: ", s.Metric)
		} else {
			fmt.Fprint(w, ", ")
		}
		metric = s.Metric
		fmt.Fprintf(w, "%.2fx against %s", s.Times, s.Against)
	}
	if metric != "" {
		fmt.Fprintln(w)
	}
}
