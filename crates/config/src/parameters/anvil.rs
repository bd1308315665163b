//! What counts clients and their rates.

parameters! {
    /// Parameters of anvil.
    pub struct Anvil {
        /// The time that rates of clients are counted in.
        anvil_rate_time_unit: Duration = "60s", range 1..,
        /// How often the highest rates and counts are logged.
        anvil_status_update_time: Duration = "600s", range 1..,
    }
}
