"""The scheduler: gives each Pod a Node. `scheduler.Scheduler` is the component; its rules stand in `placement`."""
