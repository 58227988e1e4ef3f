package cache

import (
	"testing"

	"github.com/sparsegonia/sparsegonia/ops/weights"
)

// Receivers and arguments that are nil or zero, and options that are nil, are errors.
func TestNilIsAnError(t *testing.T) {
	active, slots := make([]bool, 1), make([]int32, 1)
	call := func(int, *weights.Neurons) error { return nil }
	file := func(f *File) map[string]error {
		_, layer := f.Load(0)
		return map[string]error{
			"Load": layer, "Read": f.Read(0, 0, nil), "Verify": f.Verify(), "Close": f.Close(),
		}
	}
	stream := func(s *Stream) error { _, err := s.Layer(0); return err }
	newOf := func(s weights.Source) error { _, err := New(s, WindowOptions{}); return err }
	_, option := OpenFile("any", nil)
	_, reader := NewFile(nil, 1<<20)
	_, window := NewWindow(nil, 0, WindowOptions{Tokens: 1})
	_, zero := NewWindow(new(File), 0, WindowOptions{Tokens: 1})
	_, streamed := NewStream(nil, 0)
	_, packed := NewPacked(nil, nil)
	store := InPlace(nil)
	for what, errs := range map[string]map[string]error{
		"constructors": {
			"OpenFile": option, "NewFile": reader, "NewWindow": window, "NewWindow of a zero File": zero,
			"NewStream": streamed, "NewPacked": packed, "New": newOf(nil), "New of a layer": newOf((*StreamLayer)(nil)),
		},
		"nil File":  file(nil),
		"zero File": file(new(File)),
		"Refresh": {
			"nil InPlaceCache": (*InPlaceCache)(nil).Refresh(active, slots), "InPlace(nil)": store.Refresh(active, slots),
			"nil Packed": (*Packed)(nil).Refresh(active, slots), "zero Packed": new(Packed).Refresh(active, slots),
			"nil Window": (*Window)(nil).Refresh(active, slots), "zero Window": new(Window).Refresh(active, slots),
		},
		"Prefetch": {"nil Window": (*Window)(nil).Prefetch(nil), "zero Window": new(Window).Prefetch(nil)},
		"Close":    {"nil Window": (*Window)(nil).Close(), "zero Window": new(Window).Close()},
		"Stream": {
			"nil": stream(nil), "zero": stream(new(Stream)),
			"nil layer": (*StreamLayer)(nil).Blocks(call), "zero layer": new(StreamLayer).Blocks(call),
		},
	} {
		for which, err := range errs {
			if err == nil {
				t.Errorf("%s: %s: want an error", what, which)
			}
		}
	}
	for _, c := range []Cache{new(InPlaceCache), new(Packed), new(Window)} {
		c.Reset()
		if n := c.Intermediate(); n != 0 || c.Rows() != nil || c.Neurons() != nil || c.Stats().ResidentBytes != 0 {
			t.Errorf("%T: a zero cache has %d neurons", c, n)
		}
	}
	if f := new(File); f.Label() != "" || f.Shapes() != nil {
		t.Error("a zero File has layers")
	}
	if rows := new(Packed).View().Rows; rows.Intermediate() != 0 {
		t.Error("a zero Packed has rows")
	}
}
