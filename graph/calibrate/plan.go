package calibrate

// Plan is a skeleton.
type Plan struct{}
