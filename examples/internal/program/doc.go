// Package program is what the programs of this module share: how they start and end, read flags,
// find models, write files and report progress.
//
//	func main() { program.Main("generate", run) }
//
//	func run(ctx context.Context, env *program.Env) error {
//		flags := env.Flags("Generate continues a text.", "go run ./examples/generate -prompt 'func main() {'")
//		n := flags.Int("n", 64, "new tokens at most")
//		if err := env.Parse(flags); err != nil {
//			return err
//		}
//		…
//	}
//
// Results go to stdout; errors, statistics and progress to stderr. A program ends with one of the
// Exit codes.
package program
