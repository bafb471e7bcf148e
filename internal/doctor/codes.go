package doctor

// A Proof says how a fault is known to be one.
type Proof string

// The proofs.
const (
	Shown    Proof = "shown"    // e2e/doctor makes the real loader fail by it
	Document Proof = "document" // a platform's limit or rule, by its document
	Told     Proof = "told"     // nothing fails: something is not safe, or not known
)

// A Code is a kind of finding. Its name never changes; docs/doctor.md lists all.
type Code struct {
	Name  string
	About string
	Proof Proof
}

// Codes are all that Examine finds, by theme.
func Codes() []Code {
	return []Code{
		{"archive", "an archive that cannot be unpacked", Shown},
		{"package-kind", "a zip, folder or image where the platform takes another", Document},
		{"platform", "a package for another operating system or processor", Document},
		{"not-packaged", "a function folder or model: programs and libraries are still to come", Told},
		{"duplicate", "an archive with one name twice", Shown},
		{"case-collision", "names that differ in case alone", Document},
		{"link-escapes", "a link, or an entry of an archive, that leads out of the package", Shown},
		{"special-file", "a pipe, socket or device", Shown},
		{"world-writable", "a file or folder that everybody may write to", Told},
		{"size-zip", "an archive too large to be uploaded directly", Document},
		{"size-unpacked", "files larger than the platform unpacks", Document},
		{"size-image", "an image larger than the platform takes", Document},
		{"budget", "an archive beyond the budget in godwit.yaml", Document},

		{"no-program", "the program is not where the platform starts it, or has another name", Shown},
		{"wrong-program", "Lambda's program elsewhere, or the server's on Lambda", Shown},
		{"not-executable", "a program without the executable bit", Shown},
		{"exec-format", "a program that is neither ELF nor a script, or a script with line ends of Windows", Shown},
		{"interpreter", "a program whose dynamic linker is not in the base", Shown},
		{"interpreter-unknown", "a script instead of a program", Told},
		{"entrypoint", "an image whose entrypoint is missing or not in it", Shown},
		{"architecture", "a program or library for another processor or word size", Shown},
		{"elf-damaged", "a library that is cut off, or is something else", Shown},
		{"elf-unread", "a program or library without section headers, which is not followed", Told},
		{"glibc", "symbol versions newer than the base's glibc", Shown},
		{"glibc-unknown", "a base whose glibc nobody states", Told},
		{"libstdcxx", "symbol versions newer than the C++ library that is found", Shown},
		{"symbol-version", "symbol versions that another needed library does not have", Shown},
		{"library-missing", "a needed library that is found nowhere", Shown},
		{"library-unknown", "a needed library that no document says the base has", Shown},
		{"libc-packaged", "parts of glibc in the package", Told},

		{"runtime-missing", "no ONNX Runtime in lib/", Shown},
		{"runtime-version", "an ONNX Runtime older than the program takes, or another than the package says", Shown},
		{"runtime-unknown", "an ONNX Runtime that was not measured", Told},
		{"baked-runtime", "baked models of another ONNX Runtime than the packaged one", Document},
		{"gpu-libraries", "a GPU provider without its libraries", Shown},
		{"gpu-beside", "a GPU provider in another folder than ONNX Runtime", Document},
		{"gpu-unused", "a GPU provider that is not asked for", Told},
		{"driver", "a library of the machine's driver, whose version is not documented", Told},

		{"model-missing", "a model that is not where godwit.yaml says", Shown},
		{"model-damaged", "a model that cannot be read", Shown},
		{"model-digest", "a model with another digest than godwit.yaml names", Shown},
		{"model-unpinned", "a model from elsewhere without its digest", Document},
		{"model-remote", "a model that is loaded from elsewhere at the start", Told},
		{"ir-version", "an IR version newer than the packaged ONNX Runtime reads", Shown},
		{"opset", "an opset newer than the packaged ONNX Runtime reads", Shown},
		{"ort-version", "a version of ONNX Runtime's own format that it does not read", Shown},
		{"custom-ops", "operators that need a library of native code", Shown},
		{"external-data", "data files that are missing, too short, or outside of the model's folder", Shown},
		{"signature", "inputs or outputs that the protocol cannot carry", Shown},
		{"no-outputs", "a model without outputs", Document},
		{"shape-unknown", "a model whose shapes are known only once it is loaded", Told},
		{"old-opset", "an opset older than ONNX Runtime promises to support", Told},
		{"cpu-specific", "a model that was optimised for one kind of CPU", Told},
		{"ort-format", "a model in ONNX Runtime's own format that packaging did not make", Told},
		{"random", "random operators", Told},
		{"no-inputs", "a model without inputs", Told},
		{"empty", "a dimension of size 0", Told},
		{"huge", "weights of a GiB or more", Told},
		{"runtime-ops", "operators that only ONNX Runtime has", Told},
		{"loops", "loops", Told},
		{"functions", "operators that the model defines itself", Told},
		{"training", "training information", Told},
		{"maps", "sequences of maps, as of scikit-learn's classifiers", Told},
		{"defaults", "inputs with a constant value", Told},
		{"no-batch", "requests that cannot share a run", Told},
		{"float16", "floats of 16 bits", Told},
		{"strings", "strings", Told},
		{"unranked", "shapes that are not known", Told},

		{"manifest", "a manifest that is missing or damaged", Shown},
		{"manifest-missing", "a packaged file that is gone", Shown},
		{"manifest-changed", "a packaged file that was changed", Shown},
		{"manifest-extra", "files that were not packaged", Told},
		{"no-requests", "no recorded request with its answer", Shown},
		{"requests", "recorded requests that cannot be read", Shown},
		{"stale-answers", "answers that were recorded from another model", Told},

		{"spec", "a godwit.yaml that cannot be used", Shown},
		{"spec-target", "a target that is not in godwit.yaml and whose defaults do not fit", Document},
		{"no-target", "a target that is not in godwit.yaml", Told},
		{"public", "auth: none on a public address", Told},
		{"auth-platform", "auth: platform where there is no platform", Shown},
		{"secret-in-env", "a secret's value in the package", Told},
		{"reserved-env", "an image that sets the platform's variables, or ours", Shown},
		{"root-user", "an image that runs as root", Told},
		{"shell", "an image with a shell", Told},
		{"azure-host", "a host.json or function.json that does not fit the package", Document},

		{"memory", "less memory than loading the models takes", Shown},
		{"memory-limit", "more memory than the platform has", Document},
		{"memory-unknown", "how much memory there is, nobody says", Told},
		{"start-unknown", "a start that may take too long", Told},
		{"body-limit", "requests larger than the platform, or limits.body, lets through", Shown},
		{"response-limit", "answers larger than the platform lets through", Document},
		{"body-rows", "how many rows fit into a request", Told},
		{"time-limit", "a request that may take longer than the platform waits", Document},
	}
}
