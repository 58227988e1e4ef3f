module github.com/sparsegonia/sparsegonia/ops/simd/_gen

go 1.26.0
