package tokenizer

import (
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"
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

// newTokenizer has room for n tokens.
func newTokenizer(n int) *Tokenizer {
	return &Tokenizer{
		tokens: make(map[int32]string, n), ids: make(map[string]int32, n),
		special: map[int32]bool{}, surface: map[int32]string{},
	}
}

func parse(data []byte) (*Tokenizer, error) {
	root, err := parseJSON(data)
	if err != nil {
		return nil, err
	}
	file, err := root.object()
	if err != nil {
		return nil, err
	}
	if v := file.get("version"); !v.null() {
		if s, err := v.str(); err != nil {
			return nil, err
		} else if s != "1.0" {
			return nil, v.errorf("version %.60q is not known", s)
		}
	}
	o, err := file.get("model").object()
	if err != nil {
		return nil, err
	}
	t := newTokenizer(o.get("vocab").count() + file.get("added_tokens").count())
	if t.model, err = t.parseModel(o); err != nil {
		return nil, err
	}
	if v := file.get("normalizer"); !v.null() {
		var n normalizerParser
		if err := n.parse(v, 0); err != nil {
			return nil, err
		}
		t.normalizer = n.steps
	}
	if err := t.parseAdded(file.get("added_tokens")); err != nil {
		return nil, err
	}
	if v := file.get("pre_tokenizer"); !v.null() {
		var p preTokenizerParser
		if err := p.parse(v, 0); err != nil {
			return nil, err
		}
		t.preTokenizers = p.steps
	}
	if err := t.parsePostProcessor(file.get("post_processor"), 0); err != nil {
		return nil, err
	}
	if v := file.get("decoder"); v.null() {
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
func (v value) typed(depth int) (object, string, error) {
	if depth > maxDepth {
		return object{value: &v}, "", v.errorf("nested more than %d deep", maxDepth)
	}
	o, err := v.object()
	if err != nil {
		return o, "", err
	}
	kind, err := o.str("type")
	return o, kind, err
}

// unknown is the error of a component that the package does not know.
func (o object) unknown(kind string) error {
	return o.get("type").errorf("%.60q is not supported", kind)
}

// The model.

func (t *Tokenizer) parseModel(o object) (model, error) {
	// Old files have no type; only a BPE has merges.
	if kind := o.get("type"); !kind.null() || o.get("merges").null() {
		if s, err := kind.str(); err != nil {
			return nil, err
		} else if s != "BPE" {
			return nil, o.unknown(s)
		}
	}
	if d := o.get("dropout"); !d.null() && string(d.raw) != "0" && string(d.raw) != "0.0" {
		return nil, d.errorf("dropout %s is not supported: it makes ids random", d.abridged())
	}
	for _, key := range []string{"continuing_subword_prefix", "end_of_word_suffix"} {
		if v := o.get(key); !v.null() {
			if s, err := v.str(); err != nil {
				return nil, err
			} else if s != "" {
				return nil, v.errorf("%.60q is not supported", s)
			}
		}
	}
	vocab, merges := o.get("vocab"), o.get("merges")
	b := &bpe{
		vocab:   make(map[string]int32, vocab.count()),
		merges:  make(map[[2]int32]merge, merges.count()),
		unknown: -1,
	}
	var err error
	if b.fuseUnknown, err = o.bool("fuse_unk", false); err != nil {
		return nil, err
	}
	if b.ignoreMerges, err = o.bool("ignore_merges", false); err != nil {
		return nil, err
	}
	fallback, err := o.bool("byte_fallback", false)
	if err != nil {
		return nil, err
	}
	err = vocab.each(func(token string, member value) error {
		id, err := member.id()
		if err != nil {
			return err
		}
		if err := t.add(token, id); err != nil {
			return vocab.errorf("%w", err)
		}
		b.vocab[token] = id
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(b.vocab) == 0 {
		return nil, vocab.errorf("is empty")
	}
	if err := parseMerges(b, merges); err != nil {
		return nil, err
	}
	if v := o.get("unk_token"); !v.null() {
		token, err := v.str()
		if err != nil {
			return nil, err
		}
		id, ok := b.vocab[token]
		if !ok {
			return nil, v.errorf("token %.60q is not in the vocabulary", token)
		}
		b.unknown = id
	}
	if fallback {
		b.bytes = byteTokens(b.vocab)
	}
	return b, nil
}

// parseMerges reads merges written as "a b" or as ["a", "b"].
func parseMerges(b *bpe, v value) error {
	return v.elements(func(i int, raw json.RawMessage) error {
		left, right, err := parseMerge(value{raw: raw})
		if err == nil && left != "" {
			err = b.addMerge(i, left, right)
		}
		if err != nil {
			return value{in: &v, index: i}.errorf("%w", err)
		}
		return nil
	})
}

// parseMerge returns the two tokens of a merge, or empty ones for the version
// line of a merges.txt.
func parseMerge(v value) (left, right string, err error) {
	if !v.is('[') {
		line, err := v.str()
		if err != nil || strings.HasPrefix(line, "#version") {
			return "", "", err
		}
		return cutMerge(line)
	}
	var pair [2]string
	n := 0
	err = v.elements(func(i int, raw json.RawMessage) error {
		s, err := value{raw: raw}.str()
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

func (t *Tokenizer) parseAdded(v value) error {
	if v.null() {
		return nil
	}
	literal := make([]addedToken, 0, v.count())
	var normalized []addedToken
	seen, seenNormalized := make(map[string]bool, v.count()), map[string]bool{}
	err := v.items(func(v value) error {
		o, err := v.object()
		if err != nil {
			return err
		}
		a, isNormalized, err := t.parseAddedToken(o)
		if err != nil {
			return err
		}
		if seen[a.content] {
			return v.errorf("token %.60q is added twice", a.content)
		}
		seen[a.content] = true
		if !isNormalized {
			literal = append(literal, a)
			return nil
		}
		content := a.content
		a.content = t.normalizer.normalize(content, true)
		if a.content == "" || seenNormalized[a.content] {
			return v.errorf("token %.60q is normalized to %.60q, which is empty or another token", content, a.content)
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

func (t *Tokenizer) parseAddedToken(o object) (a addedToken, normalized bool, err error) {
	if a.content, err = o.str("content"); err != nil {
		return a, false, err
	}
	if a.content == "" {
		return a, false, o.get("content").errorf("is empty")
	}
	if a.id, err = o.get("id").id(); err != nil {
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
		if *flag.value, err = o.bool(flag.key, false); err != nil {
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
		return a, false, o.get("id").errorf("%w", err)
	}
	return a, normalized, nil
}

// maxGrowth bounds how many bytes normalizing, pre-tokenizing or decoding can make of one, so that a file cannot ask for
// steps that double a text again and again. "▁" for every space and one more before the text makes 12.
const maxGrowth = 16

// A growth is how many bytes the steps so far make of one, at most.
type growth int

// by multiplies g; what is the step that does it.
func (g *growth) by(n int, what value) error {
	if n > maxGrowth/max(int(*g), 1) {
		return what.errorf("makes texts more than %d times as long, which is not supported", maxGrowth)
	}
	*g = max(*g, 1) * growth(max(n, 1))
	return nil
}

// The normalizer.

type normalizerParser struct {
	steps  normalizer
	growth growth
}

func (n *normalizerParser) parse(v value, depth int) error {
	o, kind, err := v.typed(depth)
	if err != nil {
		return err
	}
	switch kind {
	case "Sequence":
		return o.get("normalizers").items(func(v value) error { return n.parse(v, depth+1) })
	case "NFC":
		n.steps = append(n.steps, nfc)
		return nil
	case "Prepend":
		prefix, err := o.str("prepend")
		if err != nil {
			return err
		}
		n.steps = append(n.steps, prepend(prefix))
		return n.growth.by(1+len(prefix), o.get("prepend"))
	case "Replace":
		old, new, err := parseReplace(o)
		if err != nil {
			return err
		}
		n.steps = append(n.steps, replace(old, new))
		return n.growth.by((len(new)+len(old)-1)/len(old), o.get("content"))
	}
	return o.unknown(kind)
}

// parseReplace reads what a Replace looks for and what it puts there.
func parseReplace(o object) (old, new string, err error) {
	v := o.get("pattern")
	pattern, err := v.object()
	if err != nil {
		return "", "", err
	}
	if re := pattern.get("Regex"); !re.null() {
		return "", "", re.errorf("a pattern %s is not supported here", re.abridged())
	}
	if old, err = pattern.str("String"); err != nil {
		return "", "", err
	}
	if old == "" {
		return "", "", pattern.get("String").errorf("is empty")
	}
	new, err = o.str("content")
	return old, new, err
}

// The pre-tokenizer.

type preTokenizerParser struct {
	steps  []preTokenizer
	growth growth
}

func (p *preTokenizerParser) parse(v value, depth int) error {
	o, kind, err := v.typed(depth)
	if err != nil {
		return err
	}
	if kind == "Sequence" {
		return o.get("pretokenizers").items(func(v value) error { return p.parse(v, depth+1) })
	}
	var step preTokenizer
	longer := 1
	switch kind {
	case "ByteLevel":
		step, err = parseByteLevel(o)
		longer = 4 // one more space, and two bytes for one
	case "Digits":
		var individual bool
		if individual, err = o.bool("individual_digits", false); individual {
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
		err = o.unknown(kind)
	}
	if err != nil {
		return err
	}
	p.steps = append(p.steps, step)
	return p.growth.by(longer, o.get("type"))
}

func parseByteLevel(o object) (byteLevel, error) {
	prefix, err := o.bool("add_prefix_space", true)
	if err != nil {
		return byteLevel{}, err
	}
	useRegex, err := o.bool("use_regex", true)
	if err != nil {
		return byteLevel{}, err
	}
	b := byteLevel{prefixSpace: prefix}
	if useRegex {
		b.scan = scanGPT2
	}
	return b, nil
}

func parseSplit(o object) (isolate, error) {
	pattern, err := o.get("pattern").object()
	if err != nil {
		return isolate{}, err
	}
	re := pattern.get("Regex")
	text, err := re.str()
	if err != nil {
		return isolate{}, err
	}
	scan, ok := patterns[text]
	if !ok {
		return isolate{}, re.errorf("pattern %.60q is not known", text)
	}
	if behavior, err := o.str("behavior"); err != nil {
		return isolate{}, err
	} else if behavior != "Isolated" {
		return isolate{}, o.get("behavior").errorf("%.60q is not supported", behavior)
	}
	if invert, err := o.bool("invert", false); err != nil {
		return isolate{}, err
	} else if invert {
		return isolate{}, o.get("invert").errorf("true is not supported")
	}
	return isolate{scan}, nil
}

// parseMetaspace reads a Metaspace, a pre-tokenizer or a decoder.
func parseMetaspace(o object) (m metaspace, err error) {
	if m.mark, err = o.str("replacement"); err != nil {
		return m, err
	}
	if utf8.RuneCountInString(m.mark) != 1 {
		return m, o.get("replacement").errorf("%.60q is not one character", m.mark)
	}
	if m.cut, err = o.bool("split", true); err != nil {
		return m, err
	}
	m.scheme = prependAlways
	if v := o.get("prepend_scheme"); !v.null() {
		name, err := v.str()
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
			return m, v.errorf("%.60q is not known", name)
		}
	}
	prefix, err := o.bool("add_prefix_space", true)
	if err == nil && !prefix && m.scheme != prependNever {
		err = o.get("add_prefix_space").errorf("false contradicts prepend_scheme")
	}
	return m, err
}

// The post-processor.

func (t *Tokenizer) parsePostProcessor(v value, depth int) error {
	if v.null() {
		return nil
	}
	o, kind, err := v.typed(depth)
	if err != nil {
		return err
	}
	switch kind {
	case "Sequence":
		return o.get("processors").items(func(v value) error { return t.parsePostProcessor(v, depth+1) })
	case "ByteLevel":
		return nil // it moves offsets only
	case "TemplateProcessing":
		return t.parseTemplate(o)
	}
	return o.unknown(kind)
}

// maxSpecials bounds the ids around a text: a template can name a long list of them again and again.
const maxSpecials = 64

// parseTemplate reads the template of a single text.
func (t *Tokenizer) parseTemplate(o object) error {
	if t.prefix != nil || t.suffix != nil {
		return o.get("type").errorf("a second TemplateProcessing is not supported")
	}
	specials, err := o.get("special_tokens").object()
	if err != nil {
		return err
	}
	var prefix, suffix []int32
	texts := 0
	single := o.get("single")
	err = single.items(func(v value) error {
		piece, err := v.object()
		if err != nil {
			return err
		}
		if seq := piece.get("Sequence"); !seq.null() {
			texts++
			return parseText(seq)
		}
		token, err := piece.get("SpecialToken").object()
		if err != nil {
			return err
		}
		name, err := token.str("id")
		if err != nil {
			return err
		}
		ids, err := t.parseSpecial(specials.get(name))
		if err != nil {
			return err
		}
		if texts == 0 {
			prefix = append(prefix, ids...)
		} else {
			suffix = append(suffix, ids...)
		}
		if len(prefix)+len(suffix) > maxSpecials {
			return v.errorf("more than %d special tokens are not supported", maxSpecials)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if texts != 1 {
		return single.errorf("holds the text %d times instead of once", texts)
	}
	t.prefix, t.suffix = prefix, suffix
	return nil
}

// parseText reads where the text stands in a template.
func parseText(v value) error {
	o, err := v.object()
	if err != nil {
		return err
	}
	id, err := o.str("id")
	if err == nil && id != "A" {
		err = o.get("id").errorf("a single text is A, not %.60q", id)
	}
	return err
}

// parseSpecial returns the ids of a special token of a template.
func (t *Tokenizer) parseSpecial(v value) (ids []int32, err error) {
	o, err := v.object()
	if err != nil {
		return nil, err
	}
	err = o.get("ids").items(func(v value) error {
		id, err := v.id()
		if err != nil {
			return err
		}
		if _, ok := t.tokens[id]; !ok {
			return v.errorf("id %d is not in the vocabulary", id)
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

func (d *decoderParser) parse(v value, depth int) error {
	o, kind, err := v.typed(depth)
	if err != nil {
		return err
	}
	// Stages run on parts of the fused text, which these would need as a whole.
	if d.fused && (kind == "ByteLevel" || kind == "ByteFallback" || kind == "Metaspace") {
		return o.get("type").errorf("%.60q after the tokens are fused is not supported", kind)
	}
	switch kind {
	case "Sequence":
		return o.get("decoders").items(func(v value) error { return d.parse(v, depth+1) })
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
			return o.get("pattern").errorf("more than one character after the tokens are fused is not supported")
		}
		d.stages = append(d.stages, replaceToken(old, new))
		return d.growth.by((len(new)+len(old)-1)/len(old), o.get("content"))
	case "Strip":
		return d.parseStrip(o)
	}
	return o.unknown(kind)
}

func (d *decoderParser) parseStrip(o object) error {
	content, err := o.str("content")
	if err != nil {
		return err
	}
	c, size := utf8.DecodeRuneInString(content)
	if size == 0 || size != len(content) {
		return o.get("content").errorf("%.60q is not one character", content)
	}
	start, err := o.get("start").id()
	if err != nil {
		return err
	}
	if stop := o.get("stop"); string(stop.raw) != "0" {
		return stop.wrong("0")
	}
	d.stages = append(d.stages, strip(c, int(start), d.fused))
	return nil
}
