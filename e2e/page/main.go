// Command page writes what the page is tried with, into the folder that is its
// argument: requests with several rows for digits and penguins, which are there
// already, and the function "many", whose models have no recorded request.
package main

import (
	"encoding/csv"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strings"

	"godwit.dev/internal/testmodels"
	"godwit.dev/runtime/onnx"
)

func main() {
	log.SetFlags(0)
	if len(os.Args) != 2 {
		log.Fatalf("want one folder, got %q", os.Args[1:])
	}
	if err := write(os.Args[1]); err != nil {
		log.Fatal(err)
	}
}

func write(dir string) error {
	if err := writeBatch(dir, "digits", func(map[string]string) bool { return true }, []input{{"pixels", "FP32", pixels()}}); err != nil {
		return err
	}
	whole := func(row map[string]string) bool { return row["sex"] != "" && row["body_mass_g"] != "" }
	if err := writeBatch(dir, "penguins", whole, []input{
		{"island", "BYTES", []string{"island"}}, {"sex", "BYTES", []string{"sex"}},
		{"bill_length_mm", "FP32", []string{"bill_length_mm"}}, {"bill_depth_mm", "FP32", []string{"bill_depth_mm"}},
		{"flipper_length_mm", "FP32", []string{"flipper_length_mm"}}, {"body_mass_g", "FP32", []string{"body_mass_g"}},
	}); err != nil {
		return err
	}
	return writeMany(filepath.Join(dir, "many"))
}

type input struct {
	name, datatype string
	columns        []string // of heldout.csv
}

func pixels() []string {
	all := make([]string, 64)
	for i := range all {
		all[i] = fmt.Sprintf("p%d", i)
	}
	return all
}

const batchRows = 12

// writeBatch records the request "several" with rows of the held-out ones.
func writeBatch(dir, model string, use func(map[string]string) bool, inputs []input) error {
	f, err := os.Open(filepath.Join(dir, model, "heldout.csv"))
	if err != nil {
		return err
	}
	defer f.Close()
	lines, err := csv.NewReader(f).ReadAll()
	if err != nil {
		return err
	}
	var rows []map[string]string
	for i := 1; i < len(lines) && len(rows) < batchRows; i += 5 {
		row := map[string]string{}
		for j, name := range lines[0] {
			row[name] = lines[i][j]
		}
		if use(row) {
			rows = append(rows, row)
		}
	}
	var tensors []string
	for _, in := range inputs {
		var data []string
		for _, row := range rows {
			for _, c := range in.columns {
				if in.datatype == "BYTES" {
					data = append(data, fmt.Sprintf("%q", row[c]))
				} else {
					data = append(data, row[c])
				}
			}
		}
		tensors = append(tensors, fmt.Sprintf(`{"name":%q,"shape":[%d,%d],"datatype":%q,"data":[%s]}`,
			in.name, len(rows), len(in.columns), in.datatype, strings.Join(data, ",")))
	}
	folder := filepath.Join(dir, model, "requests", model)
	if err := os.MkdirAll(folder, 0o777); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(folder, "several.json"), []byte(`{"inputs":[`+strings.Join(tensors, ",")+"]}"), 0o666)
}

func writeMany(dir string) error {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	spec := "apiVersion: godwit.dev/v1\nname: many\nmodels:\n"
	for _, m := range []struct {
		name, version string
		model         testmodels.Model
	}{
		{"colours", "1", testmodels.Identity(onnx.Float, "N", 3, 12, 10)},
		{"empty", "1", testmodels.NoInputs()},
		{"flags", "1", testmodels.Identity(onnx.Bool, "N", 3)},
		{"grey", "1", testmodels.Identity(onnx.Uint8, 1, 16, 16, 1)},
		{"large", "1", testmodels.Identity(onnx.Float, 3, 640, 640)},
		{"text", "1", testmodels.Identity(onnx.String, "N", 2)},
		{"whole", "1", testmodels.Identity(onnx.Int64, "N", 3)},
		{"whole", "2", testmodels.Identity(onnx.Int64, "N", 3)},
	} {
		file := m.name + "-" + m.version + ".onnx"
		if err := os.WriteFile(filepath.Join(dir, file), m.model.Bytes(), 0o666); err != nil {
			return err
		}
		spec += fmt.Sprintf("  - name: %s\n    version: %q\n    path: %s\n", m.name, m.version, file)
	}
	return os.WriteFile(filepath.Join(dir, "godwit.yaml"), []byte(spec), 0o666)
}
