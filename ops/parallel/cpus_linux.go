package parallel

import (
	"bufio"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// quota returns the CPUs that the cgroups of this process grant it, 0 if they
// set no limit. runtime.GOMAXPROCS alone does not do: it rounds a quota up and
// never goes below two, and a spinning thread beyond the quota stops them all.
func quota() float64 { return quotaIn("/proc/self/cgroup", "/sys/fs/cgroup") }

func quotaIn(membership, root string) float64 {
	f, err := os.Open(membership)
	if err != nil {
		return 0
	}
	defer f.Close()
	var least float64
	for lines := bufio.NewScanner(f); lines.Scan(); {
		part := strings.SplitN(lines.Text(), ":", 3)
		if len(part) != 3 {
			continue
		}
		var read func(dir string) float64
		dir := root
		switch {
		case part[1] == "":
			read = quotaV2
		case strings.Contains(","+part[1]+",", ",cpu,"):
			read, dir = quotaV1, filepath.Join(root, "cpu")
		default:
			continue
		}
		// A limit may be set on any ancestor, and in a container the path may
		// be one of the host that is not visible here.
		for path := filepath.Clean("/" + part[2]); ; path = filepath.Dir(path) {
			if q := read(filepath.Join(dir, path)); q > 0 && (least == 0 || q < least) {
				least = q
			}
			if path == "/" {
				break
			}
		}
	}
	return least
}

// quotaV2 reads cpu.max: "200000 100000", or "max 100000" without a limit.
func quotaV2(dir string) float64 {
	b, err := os.ReadFile(filepath.Join(dir, "cpu.max"))
	if err != nil {
		return 0
	}
	f := strings.Fields(string(b))
	if len(f) != 2 {
		return 0
	}
	return ratio(f[0], f[1])
}

func quotaV1(dir string) float64 {
	q, err := os.ReadFile(filepath.Join(dir, "cpu.cfs_quota_us"))
	if err != nil {
		return 0
	}
	p, err := os.ReadFile(filepath.Join(dir, "cpu.cfs_period_us"))
	if err != nil {
		return 0
	}
	return ratio(strings.TrimSpace(string(q)), strings.TrimSpace(string(p)))
}

func ratio(quota, period string) float64 {
	q, err := strconv.ParseFloat(quota, 64)
	if err != nil || q <= 0 {
		return 0
	}
	p, err := strconv.ParseFloat(period, 64)
	if err != nil || p <= 0 {
		return 0
	}
	return q / p
}
