package program_test

import (
	"context"
	"fmt"
	"os"

	"github.com/sparsegonia/sparsegonia/examples/internal/program"
)

func Example() {
	greet := func(_ context.Context, env *program.Env) error {
		flags := env.Flags("Greet says hello.", "greet -loud")
		loud := flags.Bool("loud", false, "say it twice")
		if err := env.Parse(flags); err != nil {
			return err
		}
		text := "hello"
		if *loud {
			text += ", hello"
		}
		_, err := fmt.Fprintln(env.Stdout, text)
		return err
	}
	for _, args := range [][]string{{"--loud", "True"}, {"you"}} {
		env := &program.Env{Name: "greet", Args: args, Stdout: os.Stdout, Stderr: os.Stdout}
		fmt.Println("exit code", env.Run(context.Background(), greet))
	}
	// Output:
	// hello, hello
	// exit code 0
	// greet: unexpected argument "you" (greet -h shows the flags)
	// exit code 2
}
