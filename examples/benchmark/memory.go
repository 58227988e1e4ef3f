package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// peakMemory finds the peak resident memory of each arm: this process's if it has one arm, else
// that of a process which runs the arm once, alone.
func (b *bench) peakMemory(ctx context.Context, r *modelSuite, folder string) error {
	if len(r.Arms) == 1 {
		r.Arms[0].PeakRSSBytes = peakRSS()
		return nil
	}
	var failures []string
	wait := b.env.Wait("memory of each arm", len(r.Arms))
	for i := range r.Arms {
		var err error
		if r.Arms[i].PeakRSSBytes, err = b.peakOf(ctx, r.Arms[i].Name, folder); err != nil { // the times are worth having
			failures = append(failures, fmt.Sprintf("memory of arm %s: %v", r.Arms[i].Name, err))
		}
		wait.Add(1)
	}
	wait.Done()
	for _, f := range failures {
		fmt.Fprintf(b.env.Stderr, "%s: %s\n", b.env.Name, f)
	}
	return ctx.Err()
}

func (b *bench) peakOf(ctx context.Context, arm, folder string) (int64, error) {
	file := filepath.Join(folder, "arm.json")
	args := append(slices.Clone(b.env.Args),
		"-arms", arm, "-num_runs", "1", "-ppl_tokens", "0", "-verbose=false", "-json", file) // the last of a flag counts
	if planned(arm) {
		args = append(args, "-plan", filepath.Join(folder, planFile))
	}
	if arm == windowArm {
		args = append(args, "-neurons", b.neurons)
	}
	cmd, err := b.command(ctx, args)
	if err != nil {
		return 0, err
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Run(); err != nil {
		return 0, fmt.Errorf("%w: %s", err, strings.TrimSpace(stderr.String()))
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	var result modelSuite
	if err := json.Unmarshal(data, &result); err != nil {
		return 0, err
	}
	if len(result.Arms) != 1 {
		return 0, fmt.Errorf("%d arms in the result", len(result.Arms))
	}
	return result.Arms[0].PeakRSSBytes, nil
}
