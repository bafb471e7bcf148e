package simulate

// Awake leaves out no tick of an autoscaler to which nothing happens.
func Awake(o *Options) { o.awake = true }
