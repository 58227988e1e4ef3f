package checkpoint

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"unicode"
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
		return fmt.Errorf("checkpoint: %s: %w", indexPath, err)
	}
	shards := make([]string, len(shardOf))
	for i, m := range shardOf {
		shards[i] = m.value
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
		return fmt.Errorf("checkpoint: %s: tensor %s is in %s too", b.file.name, quote(b.name), a.file.name)
	}
	for _, m := range shardOf {
		if e, ok := c.find(m.key); !ok || e.file.name != src.path(m.value) {
			return fmt.Errorf("checkpoint: %s: weight_map: tensor %s is not in %s", indexPath, quote(m.key), quote(m.value))
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

// parseIndex returns the tensors of an index with the shards that hold them, in the order of the tensors' names.
func parseIndex(data []byte) ([]member, error) {
	text, err := checkJSON(data)
	if err != nil {
		return nil, err
	}
	top, err := object(text)
	if err != nil {
		return nil, err
	}
	for _, m := range top {
		if m.key != "weight_map" {
			continue
		}
		shardOf, err := object(m.value)
		if err != nil {
			return nil, fmt.Errorf("weight_map: %w", err)
		}
		if len(shardOf) == 0 {
			return nil, errors.New("weight_map is empty")
		}
		for i, m := range shardOf {
			shard, ok := unquote(m.value)
			if !ok {
				return nil, fmt.Errorf("weight_map: tensor %s: %s is not the name of a file", quote(m.key), quote(m.value))
			}
			if !isShardName(shard) {
				return nil, fmt.Errorf("weight_map: tensor %s: %s is not the path of a file in the directory", quote(m.key), quote(shard))
			}
			shardOf[i].value = shard
		}
		return shardOf, nil
	}
	return nil, errors.New("weight_map is missing")
}

// isShardName reports whether a name is that of a file in the directory, or below, that can stand in a message.
func isShardName(name string) bool {
	const most = 255 // NAME_MAX
	return fs.ValidPath(name) && name != "." && filepath.IsLocal(filepath.FromSlash(name)) &&
		len(name) <= most && !strings.ContainsFunc(name, unicode.IsControl)
}
