package cache

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"unsafe"
)

// set is a set of neurons: bit i of word i/64 is neuron i.
type set []uint64

func newSet(intermediate int) set { return make(set, (intermediate+63)/64) }

func (s set) has(neuron int32) bool { return s[neuron/64]>>(neuron%64)&1 != 0 }

// appendTo appends to list the neurons 64·word + i for the bits i of members.
func appendTo(list []int32, word int, members uint64) []int32 {
	for ; members != 0; members &= members - 1 {
		list = append(list, int32(word*64+bits.TrailingZeros64(members)))
	}
	return list
}

// pack returns at most 64 bools as the bits of a word, the first in the lowest bit.
func pack(mask []bool) (word uint64) {
	b := unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(mask))), len(mask)) // a bool is a byte, 0 or 1
	shift := 0
	for ; len(b) >= 8; b = b[8:] {
		// The product moves bit 0 of byte k to bit 56+k, without carries.
		eight := binary.LittleEndian.Uint64(b) * 0x0102040810204080 >> 56
		word |= eight << shift
		shift += 8
	}
	for _, one := range b {
		word |= uint64(one) << shift
		shift++
	}
	return word
}

// word returns the entries of mask from 64·w on as bits.
func word(mask []bool, w int) uint64 { return pack(mask[w*64 : min(w*64+64, len(mask))]) }

// checkMask returns an error of the arguments of a Refresh.
func checkMask(active []bool, slots []int32, intermediate int) error {
	if intermediate == 0 {
		return errors.New("cache: refresh: the cache has no neurons: it was made without a store")
	}
	if len(active) != intermediate {
		return fmt.Errorf("cache: refresh: active has %d entries, the MLP has %d neurons", len(active), intermediate)
	}
	if len(slots) != intermediate {
		return fmt.Errorf("cache: refresh: slots has %d entries, the MLP has %d neurons", len(slots), intermediate)
	}
	return nil
}

// pad sets the slots that are not in use to −1.
func pad(slots []int32) {
	for i := range slots {
		slots[i] = -1
	}
}
