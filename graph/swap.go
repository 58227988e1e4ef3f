package graph

import (
	"errors"

	"gorgonia.org/gorgonia"
)

// Swapped is what Swap has made.
type Swapped struct {
	Graph   *gorgonia.ExprGraph
	Outputs gorgonia.Nodes
}

var errSkeleton = errors.New("graph: skeleton")
