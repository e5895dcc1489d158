"""Full-text search: from a query to the SQL that finds candidates, and the recheck that confirms them."""
