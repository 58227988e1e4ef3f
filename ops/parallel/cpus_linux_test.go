package parallel

import (
	"os"
	"path/filepath"
	"testing"
)

func TestQuota(t *testing.T) {
	for _, c := range []struct {
		name, membership string
		files            map[string]string
		want             float64
	}{
		{"no limit", "0::/a/b\n", map[string]string{"a/b/cpu.max": "max 100000\n"}, 0},
		{"version 2", "0::/a/b\n", map[string]string{"a/b/cpu.max": "150000 100000\n"}, 1.5},
		{"an ancestor has less", "0::/a/b\n", map[string]string{"a/b/cpu.max": "400000 100000\n", "a/cpu.max": "50000 100000\n"}, 0.5},
		{"a path of the host", "0::/kubepods/x\n", map[string]string{"cpu.max": "200000 100000\n"}, 2},
		{"version 1", "4:cpu,cpuacct:/a\n", map[string]string{"cpu/a/cpu.cfs_quota_us": "300000\n", "cpu/a/cpu.cfs_period_us": "100000\n"}, 3},
		{"version 1 without a limit", "4:cpu:/a\n", map[string]string{"cpu/a/cpu.cfs_quota_us": "-1\n", "cpu/a/cpu.cfs_period_us": "100000\n"}, 0},
		{"broken", "nonsense\n0::/a\n", map[string]string{"a/cpu.max": "many\n"}, 0},
		{"a period of 0", "0::/a\n", map[string]string{"a/cpu.max": "1000 0\n"}, 0},
	} {
		root := t.TempDir()
		write := func(name, text string) string {
			path := filepath.Join(root, name)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
			return path
		}
		for name, text := range c.files {
			write("cgroup/"+name, text)
		}
		if got := quotaIn(write("membership", c.membership), filepath.Join(root, "cgroup")); got != c.want {
			t.Errorf("%s: %v CPUs, want %v", c.name, got, c.want)
		}
	}
	if got := quotaIn("/does/not/exist", "/"); got != 0 {
		t.Errorf("without cgroups: %v CPUs", got)
	}
}
