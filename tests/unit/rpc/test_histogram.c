#include <criterion/criterion.h>
#include <stdlib.h>

#include "poa_rpc.h"

Test(histogram, every_bucket_holds_what_its_bound_says)
{
    static struct poa_histogram h;
    for (size_t i = 0; i < POA_HISTOGRAM_BUCKETS; i++) {
        uint64_t bound = poa_histogram_bound(i);
        poa_histogram_add(&h, bound);
        cr_assert_eq(h.bucket[i], 1, "bound %llu", (unsigned long long)bound);
        if (i > 0)
            cr_assert(bound > poa_histogram_bound(i - 1));
    }
    poa_histogram_add(&h, UINT64_MAX); /* capped */
    cr_expect_eq(h.bucket[POA_HISTOGRAM_BUCKETS - 1], 2);
    cr_expect_eq(h.count, POA_HISTOGRAM_BUCKETS + 1);
}

Test(histogram, quantiles_are_within_their_precision)
{
    static struct poa_histogram h, other;
    cr_expect_eq(poa_histogram_quantile(&h, 0.5), 0);
    for (uint64_t us = 1; us <= 100000; us++)
        poa_histogram_add(us % 2 ? &h : &other, us);
    poa_histogram_merge(&h, &other);
    cr_expect_eq(h.count, 100000);
    cr_expect_eq(h.max_us, 100000);
    static const double q[] = {0.01, 0.5, 0.9, 0.99, 1.0};
    for (size_t i = 0; i < sizeof q / sizeof q[0]; i++) {
        double got = (double)poa_histogram_quantile(&h, q[i]), want = q[i] * 100000;
        cr_expect(got >= want && got <= want * 1.04, "q %g: %g for %g", q[i], got, want);
    }
}
