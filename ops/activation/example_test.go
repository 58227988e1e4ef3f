package activation_test

import (
	"fmt"
	"math"

	"github.com/sparsegonia/sparsegonia/ops/activation"
)

// A configuration names the function; 0 and below are what a ReLU leaves out.
func ExampleParse() {
	for _, name := range []string{"silu", "gelu_new", "relu"} {
		f, err := activation.Parse(name)
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Printf("%s: %.3f %.3f\n", f, f.Apply32(-1), f.Apply32(1))
	}
	_, err := activation.Parse("softplus")
	fmt.Println(err)
	// Output:
	// silu: -0.269 0.731
	// gelu_tanh: -0.159 0.841
	// relu: 0.000 1.000
	// activation: unknown activation "softplus"
}

func ExampleRecognise() {
	double := func(x float64) float64 { return 2 * x / (1 + math.Exp(-x)) } // written by hand
	f, ok := activation.Recognise(double)
	fmt.Println(f.Func, f.Inner, f.Outer, ok)
	_, ok = activation.Recognise(math.Tanh)
	fmt.Println(ok)
	// Output:
	// silu 1 2 true
	// false
}
