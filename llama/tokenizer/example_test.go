package tokenizer_test

import (
	"fmt"
	"log"

	"github.com/sparsegonia/sparsegonia/llama/tokenizer"
)

// A byte-level vocabulary as small as can be: "Ġ" is a space.
const file = `{
  "added_tokens": [{"id": 0, "content": "<s>", "special": true}],
  "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "use_regex": true},
  "post_processor": {"type": "TemplateProcessing",
    "single": [{"SpecialToken": {"id": "<s>"}}, {"Sequence": {"id": "A"}}],
    "special_tokens": {"<s>": {"ids": [0]}}},
  "decoder": {"type": "ByteLevel"},
  "model": {"type": "BPE",
    "vocab": {"g": 1, "o": 2, "Ġ": 3, "go": 4, "Ġgo": 5, "Ã": 6, "¶": 7},
    "merges": ["g o", "Ġ go"]}
}`

func Example() {
	t, err := tokenizer.Parse("tokenizer.json", []byte(file))
	if err != nil {
		log.Fatal(err)
	}
	ids, err := t.Encode("go go")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(ids)
	text, err := t.Decode(ids, true)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(text)
	// Output:
	// [0 4 5]
	// go go
}

func ExampleTokenizer_NewStream() {
	t, err := tokenizer.Parse("tokenizer.json", []byte(file))
	if err != nil {
		log.Fatal(err)
	}
	s := t.NewStream()
	for _, id := range []int32{1, 6, 7, 5} { // 6 and 7 are the two bytes of ö
		text, err := s.Push(id)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%q ", text)
	}
	fmt.Printf("%q\n", s.Flush())
	// Output:
	// "g" "" "ö" " go" ""
}
