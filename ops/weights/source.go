package weights

// A Source gives the neurons of an MLP in blocks, so that they need not all be in memory. A
// *Neurons is a Source of one block. Sources are compared and hashed by their identity: they are
// pointers.
type Source interface {
	// Shape returns the shape of all neurons.
	Shape() Shape

	// Blocks calls do for the blocks in order: n holds the neurons from number first on. It is
	// valid during the call, which must not call Blocks. The blocks are the same in every call of
	// Blocks. An error of do or of a read ends it.
	Blocks(do func(first int, n *Neurons) error) error
}
