package quota_test

import (
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"godwit.dev/runtime/quota"
)

func TestGauge(t *testing.T) {
	tests := []struct {
		name  string
		files map[string]string
		want  quota.Use
	}{
		{"nothing to read", nil, quota.Use{}},
		{"no limit: this process", map[string]string{"proc/self/cgroup": "0::/\n", "proc/self/statm": "9000 3000 1000 10 0 500 0\n",
			"sys/fs/cgroup/memory.max": "max\n", "sys/fs/cgroup/memory.current": "99\n"},
			quota.Use{Held: 2000 * 4096, File: 1000 * 4096, From: "proc"}},
		{"v2", map[string]string{"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "1000000\n", "sys/fs/cgroup/memory.current": "900000\n",
			"sys/fs/cgroup/memory.stat": "anon 500000\nfile 390000\nshmem 10000\ninactive_file 300000\nactive_file 80000\n"},
			quota.Use{Held: 520000, File: 380000, From: "cgroup v2 memory.current"}},
		{"v2, the tightest of the ancestors", map[string]string{"proc/self/cgroup": "0::/pod/c1\n",
			"sys/fs/cgroup/pod/memory.max": "1000\n", "sys/fs/cgroup/pod/memory.current": "700\n", "sys/fs/cgroup/pod/memory.stat": "inactive_file 100\n",
			"sys/fs/cgroup/pod/c1/memory.max": "5000\n", "sys/fs/cgroup/pod/c1/memory.current": "650\n"},
			quota.Use{Held: 600, File: 100, From: "cgroup v2 memory.current"}},
		{"v1 with a path of the host", map[string]string{"proc/self/cgroup": "3:memory:/docker/abc\n0::/\n",
			"sys/fs/cgroup/memory/memory.limit_in_bytes": "1000\n", "sys/fs/cgroup/memory/memory.usage_in_bytes": "900\n",
			"sys/fs/cgroup/memory/memory.stat": "inactive_file 1\ntotal_inactive_file 200\ntotal_active_file 50\ntotal_rss 600\n"},
			quota.Use{Held: 650, File: 250, From: "cgroup v1 memory.usage_in_bytes"}},
		{"more file pages than are counted", map[string]string{"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "1000\n", "sys/fs/cgroup/memory.current": "100\n",
			"sys/fs/cgroup/memory.stat": "inactive_file 99\nactive_file nonsense\n"},
			quota.Use{Held: 1, File: 99, From: "cgroup v2 memory.current"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tree := fstest.MapFS{}
			for name, data := range tt.files {
				tree[name] = &fstest.MapFile{Data: []byte(data)}
			}
			got := quota.NewGauge(quota.Source{FS: tree}).Read()
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("Read (-want +got):\n%s", diff)
			}
		})
	}
}
