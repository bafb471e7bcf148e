package quota_test

import (
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"godwit.dev/runtime/quota"
)

func TestRead(t *testing.T) {
	tests := []struct {
		name    string
		files   map[string]string
		env     map[string]string
		cpus    int
		want    quota.Quota
		threads int
	}{
		{
			name: "bare host", cpus: 8,
			want: quota.Quota{CPUs: 8, CPUFrom: "affinity"}, threads: 8,
		},
		{
			name: "v2 container", cpus: 8,
			files: map[string]string{
				"proc/self/cgroup":         "0::/\n",
				"sys/fs/cgroup/cpu.max":    "150000 100000\n",
				"sys/fs/cgroup/memory.max": "536870912\n",
			},
			want:    quota.Quota{CPUs: 1.5, CPUFrom: "cgroup v2 cpu.max", Memory: 512 << 20, MemoryFrom: "cgroup v2 memory.max"},
			threads: 2,
		},
		{
			name: "v2 ancestor is tighter", cpus: 8,
			files: map[string]string{
				"proc/self/cgroup":                          "0::/kubepods/pod1/c1\n",
				"sys/fs/cgroup/kubepods/cpu.max":            "max 100000\n",
				"sys/fs/cgroup/kubepods/pod1/cpu.max":       "100000 100000",
				"sys/fs/cgroup/kubepods/pod1/c1/cpu.max":    "400000 100000",
				"sys/fs/cgroup/kubepods/pod1/c1/memory.max": "max",
			},
			want: quota.Quota{CPUs: 1, CPUFrom: "cgroup v2 cpu.max"}, threads: 1,
		},
		{
			name: "v1 with a path of the host", cpus: 4,
			files: map[string]string{
				"proc/self/cgroup":                            "5:cpu,cpuacct:/docker/abc\n3:memory:/docker/abc\n0::/\n",
				"sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us":  "25000",
				"sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000",
				"sys/fs/cgroup/memory/memory.limit_in_bytes":  "9223372036854771712",
			},
			want: quota.Quota{CPUs: 0.25, CPUFrom: "cgroup v1 cpu.cfs_quota_us"}, threads: 1,
		},
		{
			name: "v1 unlimited quota", cpus: 2,
			files: map[string]string{
				"proc/self/cgroup":                   "5:cpu:/\n",
				"sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1", "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000",
			},
			want: quota.Quota{CPUs: 2, CPUFrom: "affinity"}, threads: 2,
		},
		{
			name: "lambda", cpus: 6, env: map[string]string{"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "3538"},
			want:    quota.Quota{CPUs: 2, CPUFrom: "AWS_LAMBDA_FUNCTION_MEMORY_SIZE", Memory: 3538 << 20, MemoryFrom: "AWS_LAMBDA_FUNCTION_MEMORY_SIZE"},
			threads: 2,
		},
		{
			name: "the largest cache", cpus: 2,
			files: map[string]string{
				"sys/devices/system/cpu/cpu0/cache/index0/size": "32K\n",
				"sys/devices/system/cpu/cpu0/cache/index3/size": "32768K\n",
				"sys/devices/system/cpu/cpu0/cache/index4/size": "many",
			},
			want: quota.Quota{CPUs: 2, CPUFrom: "affinity", Cache: 32 << 20}, threads: 2,
		},
		{
			name: "nonsense limits nothing", cpus: 2,
			files: map[string]string{
				"proc/self/cgroup":      "what\n0::/../../etc\n",
				"sys/fs/cgroup/cpu.max": "100000 0",
			},
			want: quota.Quota{CPUs: 2, CPUFrom: "affinity"}, threads: 2,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tree := fstest.MapFS{}
			for name, data := range tt.files {
				tree[name] = &fstest.MapFile{Data: []byte(data)}
			}
			got := quota.Read(quota.Source{FS: tree, Getenv: func(k string) string { return tt.env[k] }, CPUs: tt.cpus})
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("Read (-want +got):\n%s", diff)
			}
			if got.Threads() != tt.threads {
				t.Errorf("Threads = %d, want %d", got.Threads(), tt.threads)
			}
		})
	}
}
