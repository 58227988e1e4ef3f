package program

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
)

// Exit codes.
const (
	ExitOK          = 0
	ExitFailure     = 1   // the work could not be done
	ExitUsage       = 2   // the command line is wrong, or this machine lacks the device that it asks for
	ExitInterrupted = 130 // Ctrl-C
)

// Env is what a program is started with.
type Env struct {
	Name           string   // of the program, before every error
	Args           []string // without the name
	Stdin          io.Reader
	Stdout, Stderr io.Writer
}

// Main runs a program and ends the process. The first Ctrl-C cancels ctx: run then returns an error
// that wraps ctx.Err(), after it has put out what it has. The second kills the process.
func Main(name string, run func(ctx context.Context, env *Env) error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	context.AfterFunc(ctx, stop)
	env := &Env{Name: name, Args: os.Args[1:], Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr}
	os.Exit(env.Run(ctx, run))
}

// Run calls run, prints its error on stderr, in one line, and returns the exit code.
func (e *Env) Run(ctx context.Context, run func(ctx context.Context, env *Env) error) int {
	err := run(ctx, e)
	var usage *usageError
	var device *deviceError
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return ExitOK
	case ctx.Err() != nil && errors.Is(err, ctx.Err()):
		e.complain("interrupted")
		return ExitInterrupted
	case errors.As(err, &usage):
		e.complain(fmt.Sprintf("%v (%s -h shows the flags)", err, e.Name))
		return ExitUsage
	case errors.As(err, &device):
		e.complain(err.Error())
		return ExitUsage
	default:
		e.complain(err.Error())
		return ExitFailure
	}
}

func (e *Env) complain(message string) {
	fmt.Fprintf(e.Stderr, "%s: %s\n", e.Name, strings.ReplaceAll(message, "\n", "; "))
}

// usageError is a command line that makes no sense.
type usageError struct{ error }

func (e *usageError) Unwrap() error { return e.error }

// Usagef is an error in the command line.
func Usagef(format string, args ...any) error { return &usageError{fmt.Errorf(format, args...)} }

// deviceError is a device that this machine or this build lacks.
type deviceError struct{ error }

func (e *deviceError) Unwrap() error { return e.error }
