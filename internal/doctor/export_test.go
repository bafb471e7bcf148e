package doctor

import "testing/fstest"

// ParseELF reads b as an ELF file.
func ParseELF(b []byte) error {
	f, err := fstest.MapFS{"f": {Data: b}}.Open("f")
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = parseObject(f)
	return err
}
