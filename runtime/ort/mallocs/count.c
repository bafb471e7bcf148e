//go:build cgo && linux

#include <malloc.h>
#include <errno.h>
#include <features.h>
#include <stdatomic.h>
#include <stddef.h>

static atomic_llong count;

long long gw_mallocs(void) { return atomic_load(&count); }

#ifdef __GLIBC__
// free is the C library's own: it takes what its functions below returned.
extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);

void *malloc(size_t n) {
  atomic_fetch_add_explicit(&count, 1, memory_order_relaxed);
  return __libc_malloc(n);
}

void *calloc(size_t n, size_t size) {
  atomic_fetch_add_explicit(&count, 1, memory_order_relaxed);
  return __libc_calloc(n, size);
}

void *realloc(void *p, size_t n) {
  atomic_fetch_add_explicit(&count, 1, memory_order_relaxed);
  return __libc_realloc(p, n);
}

void *memalign(size_t align, size_t n) {
  atomic_fetch_add_explicit(&count, 1, memory_order_relaxed);
  return __libc_memalign(align, n);
}

void *aligned_alloc(size_t align, size_t n) { return memalign(align, n); }

int posix_memalign(void **p, size_t align, size_t n) {
  *p = memalign(align, n);
  return *p ? 0 : ENOMEM;
}
#endif

#if defined(__GLIBC__) && __GLIBC_PREREQ(2, 33)
long long gw_mapped(void) { return (long long)mallinfo2().hblkhd; }
#else
long long gw_mapped(void) { return 0; }
#endif

void gw_leave(int pieces) {
  enum { size = 100 << 10, most = 1000 }; // below what is mapped by itself
  static char *piece[most];
  for (int i = 0; i < pieces && i < most; i++)
    if ((piece[i] = malloc(size)))
      for (int k = 0; k < size; k += 4096)
        ((volatile char *)piece[i])[k] = 1;
  void *volatile behind = malloc(size); // stays, or glibc would give back what lies at the end
  (void)behind;
  for (int i = 0; i < pieces && i < most; i++)
    free(piece[i]);
}
