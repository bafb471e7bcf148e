package codec

// powerStep is how far apart the powers are: with 10^18, the largest that
// lies between, a 64-bit mantissa still makes 128 bits.
const (
	powerStep = 19
	minStep   = -20
)

// powers are 10^(powerStep × step), each scaled by a power of two so that its
// highest bit is set, and rounded down. A test computes them again.
var powers = [...]struct{ hi, lo uint64 }{
	{0xcb47a9358c317fae, 0xda9018cfcc9be08a}, // 1e-380
	{0xdc65837399ea659c, 0xf10c086169cc2098}, // 1e-361
	{0xeef453d6923bd65a, 0x113faa2906a13b3f}, // 1e-342
	{0x818995ce7aa0e1b2, 0x7343efebd1940993}, // 1e-323
	{0x8c71dcd9ba0b4925, 0x9ff0c08b7f1d0b14}, // 1e-304
	{0x9845418c345644d6, 0x830a13896b78aaa9}, // 1e-285
	{0xa5178fff668ae0b6, 0x626e974dbe39a872}, // 1e-266
	{0xb2fe3f0b8599ef07, 0x861fa7e6dcb4aa15}, // 1e-247
	{0xc21094364dfb5636, 0x985915fc12f542e4}, // 1e-228
	{0xd267caa862a12d66, 0xd072df63c324fd7b}, // 1e-209
	{0xe41f3d6a7377eeca, 0x20caba5f1d9e4a93}, // 1e-190
	{0xf7549530e188c128, 0xd12bee59e68ef47c}, // 1e-171
	{0x8613fd0145877585, 0xbd06742ce95f5f36}, // 1e-152
	{0x915e2486ef32cd60, 0x0ace1474dc1d122e}, // 1e-133
	{0x9d9ba7832936edc0, 0xd54b944b84aa4c0d}, // 1e-114
	{0xaae103b5fcd2a881, 0xd652bdc29f26a119}, // 1e-95
	{0xb94470938fa89bce, 0xf808e40e8d5b3e69}, // 1e-76
	{0xc8de047564d20a8b, 0xf245825a5a445275}, // 1e-57
	{0xd9c7dced53c72255, 0x96e7bd358c904a21}, // 1e-38
	{0xec1e4a7db69561a5, 0x2b31e9e3d06c32e5}, // 1e-19
	{0x8000000000000000, 0x0000000000000000}, // 1e0
	{0x8ac7230489e80000, 0x0000000000000000}, // 1e19
	{0x96769950b50d88f4, 0x1314448000000000}, // 1e38
	{0xa321f2d7226895c7, 0xaff72d52192b6a0d}, // 1e57
	{0xb0de65388cc8ada8, 0x3b25a55f43294bcb}, // 1e76
	{0xbfc2ef456ae276e8, 0x9e3fedd8c321a67e}, // 1e95
	{0xcfe87f7cef46ff16, 0xe612641865679a63}, // 1e114
	{0xe16a1dc9d8545e94, 0xf4296dd6fef3d67a}, // 1e133
	{0xf46518c2ef5b8cd1, 0x7eb258665fc25d69}, // 1e152
	{0x847c9b5d7c2e09b7, 0x69956135febada11}, // 1e171
	{0x8fa475791a569d10, 0xf96e017d694487bc}, // 1e190
	{0x9bbcc7a142b17ccb, 0x88a66076400bb691}, // 1e209
	{0xa8d9d1535ce3b396, 0x7f1839a741a14d0d}, // 1e228
	{0xb7118682dbb66a77, 0x3fbc8c33221dc2a1}, // 1e247
	{0xc67bb4597ce2ce48, 0xb143c6053edcd0d5}, // 1e266
	{0xd732290fbacaf133, 0xa97c177947ad4095}, // 1e285
	{0xe950df20247c83fd, 0x47c6b82ef32a2069}, // 1e304
}
