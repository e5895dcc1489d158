"""From a query to the SQL that finds candidates, and the check that confirms them."""
