package tokenizer

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/sparsegonia/sparsegonia/ops/weights/checkpoint/strictjson"
)

// Parse reads the contents of a tokenizer.json; name stands for the file in
// errors. Truncation and padding that the file asks for are left to the caller.
func Parse(name string, data []byte) (*Tokenizer, error) {
	t, err := parse(data)
	if err != nil {
		return nil, fmt.Errorf("tokenizer: %s: %w", name, err)
	}
	return t, nil
}

// newTokenizer returns a Tokenizer with room for n tokens.
func newTokenizer(n int) *Tokenizer {
	return &Tokenizer{
		tokens: make(map[int32]string, n), ids: make(map[string]int32, n),
		special: map[int32]bool{}, surface: map[int32]string{},
	}
}

func parse(data []byte) (*Tokenizer, error) {
	root, err := strictjson.Parse(data)
	if err != nil {
		return nil, err
	}
	file, err := root.Object()
	if err != nil {
		return nil, err
	}
	if v := file.Get("version"); !v.Null() {
		if s, err := v.Str(); err != nil {
			return nil, err
		} else if s != "1.0" {
			return nil, v.Errorf("version %.60q is not known", s)
		}
	}
	o, err := file.Get("model").Object()
	if err != nil {
		return nil, err
	}
	t := newTokenizer(o.Get("vocab").Count() + file.Get("added_tokens").Count())
	if t.model, err = t.parseModel(o); err != nil {
		return nil, err
	}
	if v := file.Get("normalizer"); !v.Null() {
		var n normalizerParser
		if err := n.parse(v, 0); err != nil {
			return nil, err
		}
		t.normalizer = n.steps
	}
	if err := t.parseAdded(file.Get("added_tokens")); err != nil {
		return nil, err
	}
	if v := file.Get("pre_tokenizer"); !v.Null() {
		var p preTokenizerParser
		if err := p.parse(v, 0); err != nil {
			return nil, err
		}
		t.preTokenizers = p.steps
	}
	if err := t.parsePostProcessor(file.Get("post_processor"), 0); err != nil {
		return nil, err
	}
	if v := file.Get("decoder"); v.Null() {
		t.decoder = []stage{joinSpaces}
	} else {
		var d decoderParser
		if err := d.parse(v, 0); err != nil {
			return nil, err
		}
		t.decoder = d.stages
	}
	return t, nil
}

// maxDepth bounds Sequences within Sequences, far above any that make sense.
const maxDepth = 8

// typed reads a component: an object whose type says what it is.
func typed(v strictjson.Value, depth int) (strictjson.Object, string, error) {
	if depth > maxDepth {
		return strictjson.Object{}, "", v.Errorf("nested more than %d deep", maxDepth)
	}
	o, err := v.Object()
	if err != nil {
		return o, "", err
	}
	kind, err := o.Str("type")
	return o, kind, err
}

// unknown returns the error of a component that the package does not know.
func unknown(o strictjson.Object, kind string) error {
	return o.Get("type").Errorf("%.60q is not supported", kind)
}

// tokenID reads a token id: an integer from 0 to 2^31−1.
func tokenID(v strictjson.Value) (int32, error) {
	n, err := strconv.ParseInt(string(v.Raw()), 10, 64)
	if errors.Is(err, strconv.ErrSyntax) {
		return 0, v.Wrong("a token id")
	}
	if err != nil || n < 0 || n > math.MaxInt32 {
		return 0, v.Errorf("token id %s is outside 0 … %d", v.Abridged(), math.MaxInt32)
	}
	return int32(n), nil
}

// The model.

func (t *Tokenizer) parseModel(o strictjson.Object) (model, error) {
	// Old files have no type; only a BPE has merges.
	if kind := o.Get("type"); !kind.Null() || o.Get("merges").Null() {
		if s, err := kind.Str(); err != nil {
			return nil, err
		} else if s != "BPE" {
			return nil, unknown(o, s)
		}
	}
	if d := o.Get("dropout"); !d.Null() && string(d.Raw()) != "0" && string(d.Raw()) != "0.0" {
		return nil, d.Errorf("dropout %s is not supported: it makes ids random", d.Abridged())
	}
	for _, key := range []string{"continuing_subword_prefix", "end_of_word_suffix"} {
		if v := o.Get(key); !v.Null() {
			if s, err := v.Str(); err != nil {
				return nil, err
			} else if s != "" {
				return nil, v.Errorf("%.60q is not supported", s)
			}
		}
	}
	vocab, merges := o.Get("vocab"), o.Get("merges")
	b := &bpe{
		vocab:   make(map[string]int32, vocab.Count()),
		merges:  make(map[[2]int32]merge, merges.Count()),
		unknown: -1,
	}
	var err error
	if b.fuseUnknown, err = o.Bool("fuse_unk", false); err != nil {
		return nil, err
	}
	if b.ignoreMerges, err = o.Bool("ignore_merges", false); err != nil {
		return nil, err
	}
	fallback, err := o.Bool("byte_fallback", false)
	if err != nil {
		return nil, err
	}
	err = vocab.Each(func(token string, member strictjson.Value) error {
		id, err := tokenID(member)
		if err != nil {
			return err
		}
		if err := t.add(token, id); err != nil {
			return vocab.Errorf("%w", err)
		}
		b.vocab[token] = id
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(b.vocab) == 0 {
		return nil, vocab.Errorf("is empty")
	}
	if err := parseMerges(b, merges); err != nil {
		return nil, err
	}
	if v := o.Get("unk_token"); !v.Null() {
		token, err := v.Str()
		if err != nil {
			return nil, err
		}
		id, ok := b.vocab[token]
		if !ok {
			return nil, v.Errorf("token %.60q is not in the vocabulary", token)
		}
		b.unknown = id
	}
	if fallback {
		b.bytes = byteTokens(b.vocab)
	}
	return b, nil
}

// parseMerges reads merges written as "a b" or as ["a", "b"].
func parseMerges(b *bpe, v strictjson.Value) error {
	return v.Elements(func(i int, item strictjson.Value) error {
		left, right, err := parseMerge(item)
		if err == nil && left != "" {
			err = b.addMerge(i, left, right)
		}
		if err != nil {
			return v.At(i).Errorf("%w", err)
		}
		return nil
	})
}

// parseMerge returns the two tokens of a merge, or empty ones for the version line of a merges.txt.
func parseMerge(v strictjson.Value) (left, right string, err error) {
	if !v.Is('[') {
		line, err := v.Str()
		if err != nil || strings.HasPrefix(line, "#version") {
			return "", "", err
		}
		return cutMerge(line)
	}
	var pair [2]string
	n := 0
	err = v.Elements(func(i int, item strictjson.Value) error {
		s, err := item.Str()
		if i < len(pair) {
			pair[i] = s
		}
		n++
		return err
	})
	if err == nil && n != 2 {
		err = fmt.Errorf("a merge has two tokens, not %d", n)
	}
	if err == nil && (pair[0] == "" || pair[1] == "") {
		err = fmt.Errorf("a token of a merge is empty")
	}
	return pair[0], pair[1], err
}

func cutMerge(line string) (left, right string, err error) {
	left, right, ok := strings.Cut(line, " ")
	if !ok || left == "" || right == "" || strings.Contains(right, " ") {
		return "", "", fmt.Errorf("merge %.60q is not two tokens with a space between", line)
	}
	return left, right, nil
}

// Added tokens.

func (t *Tokenizer) parseAdded(v strictjson.Value) error {
	if v.Null() {
		return nil
	}
	literal := make([]addedToken, 0, v.Count())
	var normalized []addedToken
	seen, seenNormalized := make(map[string]bool, v.Count()), map[string]bool{}
	err := v.Items(func(v strictjson.Value) error {
		o, err := v.Object()
		if err != nil {
			return err
		}
		a, isNormalized, err := t.parseAddedToken(o)
		if err != nil {
			return err
		}
		if seen[a.content] {
			return v.Errorf("token %.60q is added twice", a.content)
		}
		seen[a.content] = true
		if !isNormalized {
			literal = append(literal, a)
			return nil
		}
		content := a.content
		a.content = t.normalizer.normalize(content, true)
		if a.content == "" || seenNormalized[a.content] {
			return v.Errorf("token %.60q is normalized to %.60q, which is empty or another token", content, a.content)
		}
		seenNormalized[a.content] = true
		if a.content != content {
			t.surface[a.id] = a.content
		}
		normalized = append(normalized, a)
		return nil
	})
	if err != nil {
		return err
	}
	t.literal, t.normalized = newAddedTokens(literal), newAddedTokens(normalized)
	return nil
}

func (t *Tokenizer) parseAddedToken(o strictjson.Object) (a addedToken, normalized bool, err error) {
	if a.content, err = o.Str("content"); err != nil {
		return a, false, err
	}
	if a.content == "" {
		return a, false, o.Get("content").Errorf("is empty")
	}
	if a.id, err = tokenID(o.Get("id")); err != nil {
		return a, false, err
	}
	var special bool
	for _, flag := range []struct {
		key   string
		value *bool
	}{
		{"single_word", &a.singleWord},
		{"lstrip", &a.lstrip},
		{"rstrip", &a.rstrip},
		{"normalized", &normalized},
		{"special", &special},
	} {
		if *flag.value, err = o.Bool(flag.key, false); err != nil {
			return a, false, err
		}
	}
	if special {
		t.special[a.id] = true
	}
	if id, ok := t.ids[a.content]; ok && id == a.id {
		return a, normalized, nil
	}
	if err := t.add(a.content, a.id); err != nil {
		return a, false, o.Get("id").Errorf("%w", err)
	}
	return a, normalized, nil
}

// maxGrowth bounds how many bytes normalizing, pre-tokenizing or decoding can make of one, so that
// a file cannot ask for steps that double a text again and again. "▁" for every space and one more
// before the text makes 12.
const maxGrowth = 16

// A growth is how many bytes the steps so far make of one, at most.
type growth int

// by multiplies g by n, for the step that errors name.
func (g *growth) by(n int, step strictjson.Value) error {
	if n > maxGrowth/max(int(*g), 1) {
		return step.Errorf("makes texts more than %d times as long, which is not supported", maxGrowth)
	}
	*g = max(*g, 1) * growth(max(n, 1))
	return nil
}

// The normalizer.

type normalizerParser struct {
	steps  normalizer
	growth growth
}

func (n *normalizerParser) parse(v strictjson.Value, depth int) error {
	o, kind, err := typed(v, depth)
	if err != nil {
		return err
	}
	switch kind {
	case "Sequence":
		return o.Get("normalizers").Items(func(v strictjson.Value) error { return n.parse(v, depth+1) })
	case "NFC":
		n.steps = append(n.steps, nfc)
		return nil
	case "Prepend":
		prefix, err := o.Str("prepend")
		if err != nil {
			return err
		}
		n.steps = append(n.steps, prepend(prefix))
		return n.growth.by(1+len(prefix), o.Get("prepend"))
	case "Replace":
		old, new, err := parseReplace(o)
		if err != nil {
			return err
		}
		n.steps = append(n.steps, replace(old, new))
		return n.growth.by((len(new)+len(old)-1)/len(old), o.Get("content"))
	}
	return unknown(o, kind)
}

// parseReplace reads what a Replace looks for and what it puts there.
func parseReplace(o strictjson.Object) (old, new string, err error) {
	v := o.Get("pattern")
	pattern, err := v.Object()
	if err != nil {
		return "", "", err
	}
	if re := pattern.Get("Regex"); !re.Null() {
		return "", "", re.Errorf("a pattern %s is not supported here", re.Abridged())
	}
	if old, err = pattern.Str("String"); err != nil {
		return "", "", err
	}
	if old == "" {
		return "", "", pattern.Get("String").Errorf("is empty")
	}
	new, err = o.Str("content")
	return old, new, err
}

// The pre-tokenizer.

type preTokenizerParser struct {
	steps  []preTokenizer
	growth growth
}

func (p *preTokenizerParser) parse(v strictjson.Value, depth int) error {
	o, kind, err := typed(v, depth)
	if err != nil {
		return err
	}
	if kind == "Sequence" {
		return o.Get("pretokenizers").Items(func(v strictjson.Value) error { return p.parse(v, depth+1) })
	}
	var step preTokenizer
	longer := 1
	switch kind {
	case "ByteLevel":
		step, err = parseByteLevel(o)
		longer = 4 // one more space, and two bytes for one
	case "Digits":
		var individual bool
		if individual, err = o.Bool("individual_digits", false); individual {
			step = isolate{scanDigit}
		} else {
			step = isolate{scanNumbers}
		}
	case "Split":
		step, err = parseSplit(o)
	case "Metaspace":
		var m metaspace
		m, err = parseMetaspace(o)
		step, longer = m, 2*len(m.mark)
	default:
		err = unknown(o, kind)
	}
	if err != nil {
		return err
	}
	p.steps = append(p.steps, step)
	return p.growth.by(longer, o.Get("type"))
}

func parseByteLevel(o strictjson.Object) (byteLevel, error) {
	prefix, err := o.Bool("add_prefix_space", true)
	if err != nil {
		return byteLevel{}, err
	}
	useRegex, err := o.Bool("use_regex", true)
	if err != nil {
		return byteLevel{}, err
	}
	b := byteLevel{prefixSpace: prefix}
	if useRegex {
		b.scan = scanGPT2
	}
	return b, nil
}

func parseSplit(o strictjson.Object) (isolate, error) {
	pattern, err := o.Get("pattern").Object()
	if err != nil {
		return isolate{}, err
	}
	re := pattern.Get("Regex")
	text, err := re.Str()
	if err != nil {
		return isolate{}, err
	}
	scan, ok := patterns[text]
	if !ok {
		return isolate{}, re.Errorf("pattern %.60q is not known", text)
	}
	if behavior, err := o.Str("behavior"); err != nil {
		return isolate{}, err
	} else if behavior != "Isolated" {
		return isolate{}, o.Get("behavior").Errorf("%.60q is not supported", behavior)
	}
	if invert, err := o.Bool("invert", false); err != nil {
		return isolate{}, err
	} else if invert {
		return isolate{}, o.Get("invert").Errorf("true is not supported")
	}
	return isolate{scan}, nil
}

// parseMetaspace reads a Metaspace, a pre-tokenizer or a decoder.
func parseMetaspace(o strictjson.Object) (m metaspace, err error) {
	if m.mark, err = o.Str("replacement"); err != nil {
		return m, err
	}
	if utf8.RuneCountInString(m.mark) != 1 {
		return m, o.Get("replacement").Errorf("%.60q is not one character", m.mark)
	}
	if m.cut, err = o.Bool("split", true); err != nil {
		return m, err
	}
	m.scheme = prependAlways
	if v := o.Get("prepend_scheme"); !v.Null() {
		name, err := v.Str()
		if err != nil {
			return m, err
		}
		switch name {
		case "always":
			m.scheme = prependAlways
		case "first":
			m.scheme = prependToFirst
		case "never":
			m.scheme = prependNever
		default:
			return m, v.Errorf("%.60q is not known", name)
		}
	}
	prefix, err := o.Bool("add_prefix_space", true)
	if err == nil && !prefix && m.scheme != prependNever {
		err = o.Get("add_prefix_space").Errorf("false contradicts prepend_scheme")
	}
	return m, err
}

// The post-processor.

func (t *Tokenizer) parsePostProcessor(v strictjson.Value, depth int) error {
	if v.Null() {
		return nil
	}
	o, kind, err := typed(v, depth)
	if err != nil {
		return err
	}
	switch kind {
	case "Sequence":
		return o.Get("processors").Items(func(v strictjson.Value) error { return t.parsePostProcessor(v, depth+1) })
	case "ByteLevel":
		return nil // it moves offsets only
	case "TemplateProcessing":
		return t.parseTemplate(o)
	}
	return unknown(o, kind)
}

// maxSpecials bounds the ids around a text: a template can repeat a long list of them.
const maxSpecials = 64

// parseTemplate reads the template of a single text.
func (t *Tokenizer) parseTemplate(o strictjson.Object) error {
	if t.prefix != nil || t.suffix != nil {
		return o.Get("type").Errorf("a second TemplateProcessing is not supported")
	}
	specials, err := o.Get("special_tokens").Object()
	if err != nil {
		return err
	}
	var prefix, suffix []int32
	texts := 0
	single := o.Get("single")
	err = single.Items(func(v strictjson.Value) error {
		piece, err := v.Object()
		if err != nil {
			return err
		}
		if seq := piece.Get("Sequence"); !seq.Null() {
			texts++
			return parseText(seq)
		}
		token, err := piece.Get("SpecialToken").Object()
		if err != nil {
			return err
		}
		name, err := token.Str("id")
		if err != nil {
			return err
		}
		ids, err := t.parseSpecial(specials.Get(name))
		if err != nil {
			return err
		}
		if texts == 0 {
			prefix = append(prefix, ids...)
		} else {
			suffix = append(suffix, ids...)
		}
		if len(prefix)+len(suffix) > maxSpecials {
			return v.Errorf("more than %d special tokens are not supported", maxSpecials)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if texts != 1 {
		return single.Errorf("holds the text %d times instead of once", texts)
	}
	t.prefix, t.suffix = prefix, suffix
	return nil
}

// parseText reads where the text stands in a template.
func parseText(v strictjson.Value) error {
	o, err := v.Object()
	if err != nil {
		return err
	}
	id, err := o.Str("id")
	if err == nil && id != "A" {
		err = o.Get("id").Errorf("a single text is A, not %.60q", id)
	}
	return err
}

// parseSpecial returns the ids of a special token of a template.
func (t *Tokenizer) parseSpecial(v strictjson.Value) (ids []int32, err error) {
	o, err := v.Object()
	if err != nil {
		return nil, err
	}
	err = o.Get("ids").Items(func(v strictjson.Value) error {
		id, err := tokenID(v)
		if err != nil {
			return err
		}
		if _, ok := t.tokens[id]; !ok {
			return v.Errorf("id %d is not in the vocabulary", id)
		}
		ids = append(ids, id)
		return nil
	})
	return ids, err
}

// The decoder.

type decoderParser struct {
	stages []stage
	fused  bool // the tokens are one text by now
	growth growth
}

func (d *decoderParser) parse(v strictjson.Value, depth int) error {
	o, kind, err := typed(v, depth)
	if err != nil {
		return err
	}
	// Stages run on parts of the fused text, which these would need as a whole.
	if d.fused && (kind == "ByteLevel" || kind == "ByteFallback" || kind == "Metaspace") {
		return o.Get("type").Errorf("%.60q after the tokens are fused is not supported", kind)
	}
	switch kind {
	case "Sequence":
		return o.Get("decoders").Items(func(v strictjson.Value) error { return d.parse(v, depth+1) })
	case "ByteLevel":
		d.stages = append(d.stages, byteLevelDecoder)
		d.fused = true
		return nil
	case "ByteFallback":
		d.stages = append(d.stages, byteFallback)
		return nil
	case "Fuse":
		d.fused = true
		return nil
	case "Metaspace":
		m, err := parseMetaspace(o)
		d.stages = append(d.stages, metaspaceDecoder(m.mark, m.scheme != prependNever))
		return err
	case "Replace":
		old, new, err := parseReplace(o)
		if err != nil {
			return err
		}
		if d.fused && utf8.RuneCountInString(old) > 1 {
			return o.Get("pattern").Errorf("more than one character after the tokens are fused is not supported")
		}
		d.stages = append(d.stages, replaceToken(old, new))
		return d.growth.by((len(new)+len(old)-1)/len(old), o.Get("content"))
	case "Strip":
		return d.parseStrip(o)
	}
	return unknown(o, kind)
}

func (d *decoderParser) parseStrip(o strictjson.Object) error {
	content, err := o.Str("content")
	if err != nil {
		return err
	}
	c, size := utf8.DecodeRuneInString(content)
	if size == 0 || size != len(content) {
		return o.Get("content").Errorf("%.60q is not one character", content)
	}
	start, err := tokenID(o.Get("start"))
	if err != nil {
		return err
	}
	if stop := o.Get("stop"); string(stop.Raw()) != "0" {
		return stop.Wrong("0")
	}
	d.stages = append(d.stages, strip(c, int(start), d.fused))
	return nil
}
