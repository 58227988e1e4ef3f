module github.com/sparsegonia/sparsegonia/ops/kernel/_gen

go 1.26.0
