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

func newTokenizer() *Tokenizer {
	return &Tokenizer{
		tokens: map[int32]string{}, ids: map[string]int32{},
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
			return nil, v.errorf("version %q is not known", s)
		}
	}
	t := newTokenizer()
	if t.model, err = t.parseModel(file.get("model")); err != nil {
		return nil, err
	}
	if t.normalizer, err = parseNormalizer(file.get("normalizer"), 0); err != nil {
		return nil, err
	}
	if err := t.parseAdded(file.get("added_tokens")); err != nil {
		return nil, err
	}
	if t.preTokenizers, err = parsePreTokenizer(file.get("pre_tokenizer"), 0); err != nil {
		return nil, err
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
		return object{}, "", v.errorf("nested more than %d deep", maxDepth)
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
	return o.get("type").errorf("%q is not supported", kind)
}

// The model.

func (t *Tokenizer) parseModel(v value) (model, error) {
	o, err := v.object()
	if err != nil {
		return nil, err
	}
	// Old files have no type; only a BPE has merges.
	if kind := o.get("type"); !kind.null() || o.get("merges").null() {
		if s, err := kind.str(); err != nil {
			return nil, err
		} else if s != "BPE" {
			return nil, o.unknown(s)
		}
	}
	if d := o.get("dropout"); !d.null() && string(d.raw) != "0" && string(d.raw) != "0.0" {
		return nil, d.errorf("dropout %s is not supported: it makes ids random", d.raw)
	}
	for _, key := range []string{"continuing_subword_prefix", "end_of_word_suffix"} {
		if v := o.get(key); !v.null() {
			if s, err := v.str(); err != nil {
				return nil, err
			} else if s != "" {
				return nil, v.errorf("%q is not supported", s)
			}
		}
	}
	b := &bpe{vocab: map[string]int32{}, merges: map[[2]int32]merge{}, unknown: -1}
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
	vocab := o.get("vocab")
	err = vocab.each(func(token string, raw json.RawMessage) error {
		id, err := value{raw: raw}.id()
		if err != nil {
			return vocab.member(token, raw).errorf("%w", err)
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
	if err := parseMerges(b, o.get("merges")); err != nil {
		return nil, err
	}
	if v := o.get("unk_token"); !v.null() {
		token, err := v.str()
		if err != nil {
			return nil, err
		}
		id, ok := b.vocab[token]
		if !ok {
			return nil, v.errorf("token %q is not in the vocabulary", token)
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
	return v.items(func(i int, item value) error {
		item.path = ""
		left, right, err := parseMerge(item)
		if err == nil && left != "" {
			err = b.addMerge(i, left, right)
		}
		if err != nil {
			return fmt.Errorf("%s[%d]: %w", v.path, i, err)
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
	err = v.items(func(i int, item value) error {
		s, err := item.str()
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
		return "", "", fmt.Errorf("merge %q is not two tokens with a space between", line)
	}
	return left, right, nil
}

// Added tokens.

func (t *Tokenizer) parseAdded(v value) error {
	if v.null() {
		return nil
	}
	list, err := v.list()
	if err != nil {
		return err
	}
	var literal, normalized []addedToken
	seen, seenNormalized := map[string]bool{}, map[string]bool{}
	for _, v := range list {
		o, err := v.object()
		if err != nil {
			return err
		}
		a, isNormalized, err := t.parseAddedToken(o)
		if err != nil {
			return err
		}
		if seen[a.content] {
			return v.errorf("token %q is added twice", a.content)
		}
		seen[a.content] = true
		if !isNormalized {
			literal = append(literal, a)
			continue
		}
		content := a.content
		a.content = t.normalizer.normalize(content, true)
		if a.content == "" || seenNormalized[a.content] {
			return v.errorf("token %q is normalized to %q, which is empty or another token", content, a.content)
		}
		seenNormalized[a.content] = true
		if a.content != content {
			t.surface[a.id] = a.content
		}
		normalized = append(normalized, a)
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

// The normalizer.

func parseNormalizer(v value, depth int) (normalizer, error) {
	if v.null() {
		return nil, nil
	}
	o, kind, err := v.typed(depth)
	if err != nil {
		return nil, err
	}
	switch kind {
	case "Sequence":
		list, err := o.get("normalizers").list()
		if err != nil {
			return nil, err
		}
		var all normalizer
		for _, v := range list {
			n, err := parseNormalizer(v, depth+1)
			if err != nil {
				return nil, err
			}
			all = append(all, n...)
		}
		return all, nil
	case "NFC":
		return normalizer{nfc}, nil
	case "Prepend":
		prefix, err := o.str("prepend")
		if err != nil {
			return nil, err
		}
		return normalizer{prepend(prefix)}, nil
	case "Replace":
		old, new, err := parseReplace(o)
		if err != nil {
			return nil, err
		}
		return normalizer{replace(old, new)}, nil
	}
	return nil, o.unknown(kind)
}

// parseReplace reads what a Replace looks for and what it puts there.
func parseReplace(o object) (old, new string, err error) {
	v := o.get("pattern")
	pattern, err := v.object()
	if err != nil {
		return "", "", err
	}
	if re := pattern.get("Regex"); !re.null() {
		return "", "", re.errorf("a pattern %s is not supported here", re.raw)
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

func parsePreTokenizer(v value, depth int) ([]preTokenizer, error) {
	if v.null() {
		return nil, nil
	}
	o, kind, err := v.typed(depth)
	if err != nil {
		return nil, err
	}
	var p preTokenizer
	switch kind {
	case "Sequence":
		list, err := o.get("pretokenizers").list()
		if err != nil {
			return nil, err
		}
		var all []preTokenizer
		for _, v := range list {
			p, err := parsePreTokenizer(v, depth+1)
			if err != nil {
				return nil, err
			}
			all = append(all, p...)
		}
		return all, nil
	case "ByteLevel":
		p, err = parseByteLevel(o)
	case "Digits":
		var individual bool
		if individual, err = o.bool("individual_digits", false); individual {
			p = isolate{scanDigit}
		} else {
			p = isolate{scanNumbers}
		}
	case "Split":
		p, err = parseSplit(o)
	case "Metaspace":
		p, err = parseMetaspace(o)
	default:
		err = o.unknown(kind)
	}
	if err != nil {
		return nil, err
	}
	return []preTokenizer{p}, nil
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
		return isolate{}, re.errorf("pattern %q is not known", text)
	}
	if behavior, err := o.str("behavior"); err != nil {
		return isolate{}, err
	} else if behavior != "Isolated" {
		return isolate{}, o.get("behavior").errorf("%q is not supported", behavior)
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
		return m, o.get("replacement").errorf("%q is not one character", m.mark)
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
			return m, v.errorf("%q is not known", name)
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
		list, err := o.get("processors").list()
		if err != nil {
			return err
		}
		for _, v := range list {
			if err := t.parsePostProcessor(v, depth+1); err != nil {
				return err
			}
		}
		return nil
	case "ByteLevel":
		return nil // it moves offsets only
	case "TemplateProcessing":
		return t.parseTemplate(o)
	}
	return o.unknown(kind)
}

// parseTemplate reads the template of a single text.
func (t *Tokenizer) parseTemplate(o object) error {
	if t.prefix != nil || t.suffix != nil {
		return o.get("type").errorf("a second TemplateProcessing is not supported")
	}
	specials, err := o.get("special_tokens").object()
	if err != nil {
		return err
	}
	pieces, err := o.get("single").list()
	if err != nil {
		return err
	}
	var prefix, suffix []int32
	texts := 0
	for _, v := range pieces {
		piece, err := v.object()
		if err != nil {
			return err
		}
		if seq := piece.get("Sequence"); !seq.null() {
			s, err := seq.object()
			if err != nil {
				return err
			}
			if id, err := s.str("id"); err != nil {
				return err
			} else if id != "A" {
				return s.get("id").errorf("a single text is A, not %q", id)
			}
			texts++
			continue
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
	}
	if texts != 1 {
		return o.get("single").errorf("holds the text %d times instead of once", texts)
	}
	t.prefix, t.suffix = prefix, suffix
	return nil
}

// parseSpecial returns the ids of a special token of a template.
func (t *Tokenizer) parseSpecial(v value) ([]int32, error) {
	o, err := v.object()
	if err != nil {
		return nil, err
	}
	list, err := o.get("ids").list()
	if err != nil {
		return nil, err
	}
	var ids []int32
	for _, v := range list {
		id, err := v.id()
		if err != nil {
			return nil, err
		}
		if _, ok := t.tokens[id]; !ok {
			return nil, v.errorf("id %d is not in the vocabulary", id)
		}
		ids = append(ids, id)
	}
	return ids, nil
}

// The decoder.

type decoderParser struct {
	stages []stage
	fused  bool // the tokens are one text by now
}

func (d *decoderParser) parse(v value, depth int) error {
	o, kind, err := v.typed(depth)
	if err != nil {
		return err
	}
	// Stages run on parts of the fused text, which these would need as a whole.
	if d.fused && (kind == "ByteLevel" || kind == "ByteFallback" || kind == "Metaspace") {
		return o.get("type").errorf("%q after the tokens are fused is not supported", kind)
	}
	switch kind {
	case "Sequence":
		list, err := o.get("decoders").list()
		if err != nil {
			return err
		}
		for _, v := range list {
			if err := d.parse(v, depth+1); err != nil {
				return err
			}
		}
		return nil
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
		if err == nil && d.fused && utf8.RuneCountInString(old) > 1 {
			err = o.get("pattern").errorf("more than one character after the tokens are fused is not supported")
		}
		d.stages = append(d.stages, replaceToken(old, new))
		return err
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
		return o.get("content").errorf("%q is not one character", content)
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
