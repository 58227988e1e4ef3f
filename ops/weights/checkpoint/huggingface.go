package checkpoint

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"unicode"

	"github.com/sparsegonia/sparsegonia/ops/weights/checkpoint/strictjson"
)

// Names of the files of a Hugging Face checkpoint.
const (
	configName     = "config.json"
	generationName = "generation_config.json"
	weightsName    = "model.safetensors"
	indexName      = "model.safetensors.index.json"
)

func openHuggingFace(path string, src source) (*Checkpoint, error) {
	c := &Checkpoint{format: HuggingFace, path: path}
	var err error
	if c.config, err = src.read(configName); err != nil {
		return nil, fmt.Errorf("checkpoint: %w", err)
	}
	if c.generation, err = src.read(generationName); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("checkpoint: %w", err)
	}
	if err := c.addWeights(src); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// OpenSafetensors opens one safetensors file: tensors without a configuration.
func OpenSafetensors(path string) (*Checkpoint, error) {
	f, err := mapFile(path)
	if err != nil {
		return nil, fmt.Errorf("checkpoint: %w", err)
	}
	c := &Checkpoint{format: HuggingFace, path: path}
	if err := c.addFile(f); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// addWeights adds the tensors of the one file, or of all shards.
func (c *Checkpoint) addWeights(src source) error {
	f, err := src.open(weightsName)
	if err == nil {
		return c.addFile(f)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("checkpoint: %w", err)
	}
	index, err := src.read(indexName)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("checkpoint: %s: neither %s nor %s: %w", c.path, weightsName, indexName, fs.ErrNotExist)
	}
	if err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	return c.addShards(src, index)
}

// addShards adds the shards that an index names, and checks that they hold what it says.
func (c *Checkpoint) addShards(src source, index []byte) error {
	indexPath := src.path(indexName)
	shardOf, err := parseIndex(index)
	if err != nil {
		return fmt.Errorf("checkpoint: %s: %w", indexPath, corrupt(err))
	}
	shards := make([]string, len(shardOf))
	for i, s := range shardOf {
		shards[i] = s.file
	}
	slices.Sort(shards)
	for _, shard := range slices.Compact(shards) {
		f, err := src.open(shard)
		if err != nil {
			return fmt.Errorf("checkpoint: %s: weight_map: %w", indexPath, err)
		}
		if err := c.addFile(f); err != nil {
			return err
		}
	}
	if a, b := byName(c.entries); a != nil {
		return fmt.Errorf("checkpoint: %w", corrupt(fmt.Errorf("%s: tensor %s is in %s too", b.file.name, quote(b.name), a.file.name)))
	}
	for _, s := range shardOf {
		if e, ok := c.find(s.tensor); !ok || e.file.name != src.path(s.file) {
			return fmt.Errorf("checkpoint: %s: weight_map: %w", indexPath,
				corrupt(fmt.Errorf("tensor %s is not in %s", quote(s.tensor), quote(s.file))))
		}
	}
	return nil
}

// addFile adds the tensors of a file, which belongs to c from now on.
func (c *Checkpoint) addFile(f *file) error {
	c.files = append(c.files, f)
	entries, err := parseSafetensors(f.name, f.data)
	if err != nil {
		return err
	}
	for i := range entries {
		entries[i].file = f
	}
	c.entries = append(c.entries, entries...)
	return nil
}

// A shard is the name of a tensor and that of the file that has it.
type shard struct{ tensor, file string }

// parseIndex returns the tensors of an index with their shards, in the order of the tensors' names.
func parseIndex(data []byte) ([]shard, error) {
	top, err := parseObject(data)
	if err != nil {
		return nil, err
	}
	weightMap, err := top.Get("weight_map").Object()
	if err != nil {
		return nil, err
	}
	if len(weightMap.Members) == 0 {
		return nil, weightMap.Errorf("is empty")
	}
	shards := make([]shard, len(weightMap.Members))
	for i, m := range weightMap.Members {
		file, err := m.Str()
		if err != nil {
			return nil, err
		}
		if !isShardName(file) {
			return nil, m.Errorf("%s is not the path of a file in the directory", quote(file))
		}
		shards[i] = shard{m.Key(), file}
	}
	return shards, nil
}

// parseObject returns the members of a JSON object, all with different keys.
func parseObject(data []byte) (strictjson.Object, error) {
	v, err := strictjson.Parse(data)
	if err != nil {
		return strictjson.Object{}, err
	}
	return v.Object()
}

// isShardName reports whether a name is that of a file in the directory, or below, that can stand
// in a message.
func isShardName(name string) bool {
	const most = 255 // NAME_MAX
	return fs.ValidPath(name) && name != "." && filepath.IsLocal(filepath.FromSlash(name)) &&
		len(name) <= most && !strings.ContainsFunc(name, unicode.IsControl)
}
