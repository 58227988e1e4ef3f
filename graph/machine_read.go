package graph

import (
	"errors"
	"reflect"
	"sync"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// readTarget returns where a Read copies to. Gorgonia keeps it in a field that is not exported, and
// offers no other way.
func readTarget(op gorgonia.Op) (*gorgonia.Value, error) {
	if !targetFound() {
		return nil, errors.New("this machine does not find the target of a Read: this version of Gorgonia keeps it elsewhere")
	}
	return targetOf(op), nil
}

func targetOf(op gorgonia.Op) *gorgonia.Value {
	v := reflect.ValueOf(op)
	if v.Kind() != reflect.Struct || v.NumField() != 1 || v.Field(0).Type() != reflect.TypeFor[*gorgonia.Value]() {
		return nil
	}
	return (*gorgonia.Value)(v.Field(0).UnsafePointer())
}

// targetFound makes sure, with a Read whose target is known, that targetOf finds it.
var targetFound = sync.OnceValue(func() bool {
	var into gorgonia.Value
	x := gorgonia.NewScalar(gorgonia.NewGraph(), tensor.Float64, gorgonia.WithName("x"))
	return targetOf(gorgonia.Read(x, &into).Op()) == &into
})
