package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/sparsegonia/sparsegonia/examples/internal/program"
)

// tokenize prints the ids of strings.
func tokenize(ctx context.Context, env *program.Env, s *settings) error {
	tok, err := models.Tokenizer(s.model)
	if err != nil {
		return err
	}
	data, err := readInput(ctx, env, s.tokenize)
	var texts []string
	if err == nil {
		texts, err = parseStrings(data)
	}
	if err != nil {
		return fmt.Errorf("-tokenize %s: %w", s.tokenize, err)
	}
	wait := env.Wait("tokenizing", len(texts))
	defer wait.Done()
	all := make([][]int32, len(texts))
	for i, text := range texts {
		if err := ctx.Err(); err != nil {
			return err
		}
		if all[i], err = tok.EncodePlain(text); err != nil {
			return err
		}
		wait.Add(1)
	}
	return json.NewEncoder(env.Stdout).Encode(all)
}

// parseStrings reads a JSON array of strings.
func parseStrings(data []byte) ([]string, error) {
	var values []*string // a null is not a string
	d := json.NewDecoder(bytes.NewReader(data))
	if err := d.Decode(&values); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, fmt.Errorf("not a JSON array of strings: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("more follows the JSON array")
	}
	if values == nil {
		return nil, errors.New("not a JSON array of strings: null")
	}
	texts := make([]string, len(values))
	for i, v := range values {
		if v == nil {
			return nil, fmt.Errorf("not a JSON array of strings: element %d is null", i)
		}
		texts[i] = *v
	}
	return texts, nil
}

// readInput reads a file, or stdin if it is called -.
func readInput(ctx context.Context, env *program.Env, file string) ([]byte, error) {
	if file == "-" {
		return env.ReadStdin(ctx)
	}
	return os.ReadFile(file)
}
