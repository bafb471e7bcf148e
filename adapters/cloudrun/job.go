package cloudrun

import (
	"strconv"

	"godwit.dev/runtime/fault"
)

// Task is this process's part of a Cloud Run job.
type Task struct {
	Job, Execution string
	Index, Count   int // 0 ≤ Index < Count
	Attempt        int // 0 for the first, as the platform counts
}

// maxTasks is the platform's limit on a job's tasks.
const maxTasks = 10_000

// TaskOf reads the variables that the platform sets for a job's task; ok is
// false where there are none. Errors: BadConfig.
func TaskOf(getenv func(string) string) (t Task, ok bool, err error) {
	const index, count, attempt = "CLOUD_RUN_TASK_INDEX", "CLOUD_RUN_TASK_COUNT", "CLOUD_RUN_TASK_ATTEMPT"
	t.Job, t.Execution = getenv("CLOUD_RUN_JOB"), getenv("CLOUD_RUN_EXECUTION")
	if t.Job == "" && getenv(index) == "" && getenv(count) == "" {
		return Task{}, false, nil
	}
	if t.Count, err = number(count, getenv(count), 1, maxTasks); err != nil {
		return Task{}, true, err
	}
	if t.Index, err = number(index, getenv(index), 0, t.Count-1); err != nil {
		return Task{}, true, err
	}
	if v := getenv(attempt); v != "" {
		t.Attempt, err = number(attempt, v, 0, 1<<31-1)
	}
	return t, true, err
}

func number(name, value string, least, most int) (int, error) {
	n, err := strconv.Atoi(value)
	if err != nil || n < least || n > most {
		return 0, fault.New(fault.BadConfig, "cloudrun.Task", name, "want a whole number from %d to %d, got %.32q", least, most, value)
	}
	return n, nil
}
